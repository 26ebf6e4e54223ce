"""pause and resume: work through the running healer, or straight in the journal when none runs."""

from __future__ import annotations

import argparse
import getpass
import json
import os
from contextlib import closing
from pathlib import Path

import requests

from vllm_healer.app import holder
from vllm_healer.clock import SystemClock
from vllm_healer.config import Config
from vllm_healer.errors import Blind
from vllm_healer.journal import Journal
from vllm_healer.sessions import direct_session
from vllm_healer.web import read_token


def pause(config: Config, arguments: argparse.Namespace) -> int:
    return _switch(config, arguments, "pause")


def resume(config: Config, arguments: argparse.Namespace) -> int:
    return _switch(config, arguments, "resume")


def _switch(config: Config, arguments: argparse.Namespace, verb: str) -> int:
    words = f"{_user()}: {arguments.reason or 'no reason given'}"
    where = _over_http(config, verb, words) or _in_journal(config, verb, words)
    print(json.dumps({"state": f"{verb}d", "through": where}) if arguments.json else f"{verb}d through {where}")
    return 0


def _over_http(config: Config, verb: str, words: str) -> str:
    """The URL where it was done, or '' when nobody listens there. Raises Blind when it was not done."""
    url = f"http://{config.listen}/{verb}"
    headers = {"Authorization": f"Bearer {read_token(config.token_file)}"}
    try:
        with direct_session() as session:
            answer = session.post(url, json={"reason": words}, headers=headers, timeout=10)
    except requests.ConnectionError:
        return ""
    except requests.RequestException as error:
        raise Blind(f"{url} did not answer: {error}; is another program on that port?") from error
    if answer.status_code != 200:
        raise Blind(f"{url} answered {answer.status_code}: {answer.text[:200].strip()}")
    return url


def _in_journal(config: Config, verb: str, words: str) -> str:
    """Writes it for a healer that starts later. Raises JournalLocked when one runs after all."""
    clock = SystemClock()
    with closing(Journal.open(Path(config.journal), clock, holder())) as journal:
        (journal.pause if verb == "pause" else journal.resume)(words, clock.now())
    return config.journal


def _user() -> str:
    """The name of who is at the keyboard; a container's user may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
