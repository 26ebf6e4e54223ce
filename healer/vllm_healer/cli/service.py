"""serve and check-config: run the healer, and print what its settings are."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import asdict

import yaml

from vllm_healer import app
from vllm_healer.cli.logs import start_logging
from vllm_healer.config import Config, check_trusted, compare_watched
from vllm_healer.web import Tokens


def serve(config: Config, arguments: argparse.Namespace) -> int:
    if arguments.config:
        check_trusted(arguments.config)
    start_logging(as_json=arguments.json)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a burst of alerts is expected to queue
    app.run(config)
    return 0


def check_config(config: Config, arguments: argparse.Namespace) -> int:
    """Prints the settings. Whoever owns the file may be the healer's user, who is not known here."""
    if arguments.config:
        folder = os.path.dirname(os.path.realpath(arguments.config))
        check_trusted(arguments.config, frozenset({os.stat(arguments.config).st_uid, os.stat(folder).st_uid}))
    for words in (*map(str, compare_watched(config)), Tokens.of(config).warning()):
        if words:
            print(f"warning: {words}", file=sys.stderr)
    values = json.dumps(asdict(config), indent=2)
    print(values if arguments.json else yaml.safe_dump(json.loads(values), sort_keys=False).rstrip())
    return 0
