"""`load`: options to targets, a run, and its report."""

from __future__ import annotations

import argparse
import asyncio
import json

from deploy.simulator.errors import OptionError
from deploy.simulator.load.client import Endpoint
from deploy.simulator.load.plan import LoadOptions
from deploy.simulator.load.run import run_load


def load(arguments: argparse.Namespace) -> int:
    """1 when not a single request was answered."""
    if arguments.rate <= 0 or arguments.seconds <= 0:
        raise OptionError("--rate and --seconds must be above 0")
    targets = parse_targets(arguments.targets, arguments.model, arguments.api_key)
    options = LoadOptions(
        rate=arguments.rate,
        seconds=arguments.seconds,
        prompt_tokens=arguments.prompt_tokens,
        output_tokens=arguments.output_tokens,
        in_flight=arguments.in_flight,
        seed=arguments.seed,
    )
    report = asyncio.run(run_load(targets, options, quiet=arguments.json))
    found = {"outcomes": dict(report.outcomes), "median_seconds": report.medians}
    print(json.dumps(found) if arguments.json else report.words())
    return 0 if report.outcomes["ok"] else 1


def parse_targets(text: str, model: str, api_key: str) -> list[Endpoint]:
    """Raises OptionError naming the item."""
    return [_parse_target(item, model, api_key) for item in text.replace(",", " ").split()]


def _parse_target(item: str, model: str, api_key: str) -> Endpoint:
    host, _, port = item.removeprefix("http://").rstrip("/").rpartition(":")
    if not host or not port.isdigit():
        raise OptionError(f"--targets: {item!r} has no host or no port: write host:port, separated by commas")
    return Endpoint(host.strip("[]"), int(port), model, api_key)
