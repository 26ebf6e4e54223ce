"""pause and resume: through the running healer's socket, over HTTP, or straight in the journal when none runs.

The socket needs nothing that takes long to import, so the rest is imported where it is needed.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
from contextlib import closing
from pathlib import Path

from vllm_healer import unix_socket
from vllm_healer.config import Config
from vllm_healer.errors import Blind
from vllm_healer.printable import one_line

SECONDS = 10.0  # for an answer; the journal's disk may be slow
LINE = 4096  # bytes of an answer by the socket
QUOTED = 200  # characters of another program's answer


def pause(config: Config, arguments: argparse.Namespace) -> int:
    return _switch(config, arguments, "pause")


def resume(config: Config, arguments: argparse.Namespace) -> int:
    return _switch(config, arguments, "resume")


def _switch(config: Config, arguments: argparse.Namespace, verb: str) -> int:
    words = f"{_user()}: {arguments.reason or 'no reason given'}"
    by_socket = "" if arguments.listen else _over_socket(config, verb, words)  # --listen names a healer by its address
    where = by_socket or _over_http(config, verb, words) or _in_journal(config, verb, words)
    print(json.dumps({"state": f"{verb}d", "through": where}) if arguments.json else f"{verb}d through {where}")
    return 0


def _over_socket(config: Config, verb: str, words: str) -> str:
    """The socket where it was done, or '' when none is there that this user may use. Raises Blind when it failed."""
    path = unix_socket.beside(config.journal)
    try:
        with unix_socket.connect(path, SECONDS) as connection:
            if unix_socket.peer(connection) not in _owners(Path(config.journal)):
                return ""  # somebody else's, in a directory that others may write
            connection.sendall(json.dumps({"verb": verb, "words": words}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline(LINE) or b"{}")
    except TimeoutError:
        raise Blind(f"{path} did not answer within {SECONDS:g} s; its disk is too slow or hangs") from None
    except (OSError, ValueError):
        return ""
    if "error" in answer:
        raise Blind(f"{path}: {one_line(str(answer['error']))}")
    return str(path) if "paused" in answer else ""


def _owners(journal: Path) -> set[int]:
    """The users whose healer may have this journal."""
    return {0, os.geteuid()} | ({journal.stat().st_uid} if journal.exists() else set())


def _over_http(config: Config, verb: str, words: str) -> str:
    """The URL where it was done, or '' when nobody listens there. Raises Blind when it was not done."""
    import requests

    from vllm_healer.sessions import direct_session
    from vllm_healer.web import read_token

    url = f"http://{config.listen}/{verb}"
    headers = {"Authorization": f"Bearer {read_token(config.token_file)}"}
    try:
        with direct_session() as session:
            answer = session.post(url, json={"reason": words}, headers=headers, timeout=SECONDS, allow_redirects=False)
    except requests.ConnectionError:
        return ""
    except requests.RequestException as error:
        raise Blind(f"{url} did not answer: {error}; is another program on that port?") from error
    if answer.status_code != 200:
        raise Blind(f"{url} answered {answer.status_code}: {one_line(answer.text[: 2 * QUOTED], QUOTED)}")
    return url


def _in_journal(config: Config, verb: str, words: str) -> str:
    """Writes it for a healer that starts later. Raises JournalLocked when one runs after all."""
    from vllm_healer.app import holder
    from vllm_healer.clock import SystemClock
    from vllm_healer.journal import Journal

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
