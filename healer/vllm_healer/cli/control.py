"""Orders of people: through the running healer's socket, over HTTP, or straight in the journal when none runs.

The socket needs nothing that takes long to import, so the rest is imported where it is needed.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from vllm_healer import unix_socket
from vllm_healer.config import Config
from vllm_healer.errors import Blind, ConfigError, JournalError, NotWaiting
from vllm_healer.printable import one_line

SECONDS = 10.0  # for an answer; the journal's disk may be slow
LINE = 4096  # bytes of an answer by the socket
EVERYWHERE = ("0.0.0.0", "[::]")  # addresses to listen on; who connects to one reaches this host
QUOTED = 200  # characters of another program's answer


@dataclass(frozen=True)
class Order:
    """An order of a person, with who gives it and why."""

    verb: str
    words: str
    approval: int = 0  # the number of the request that is answered; 0: none is
    about: str = ""  # of maintenance: all, server NAME or pool NAME
    seconds: float = 0.0  # of maintenance; 0 ends it

    @property
    def body(self) -> dict[str, object]:
        """The order as it is sent over HTTP."""
        more = {"approve": ("approval",), "refuse": ("approval",), "maintenance": ("about", "seconds")}
        return {"reason": self.words, **{name: getattr(self, name) for name in more.get(self.verb, ())}}


def pause(config: Config, arguments: argparse.Namespace) -> int:
    return _give(config, arguments, Order("pause", _words(arguments)), "paused")


def resume(config: Config, arguments: argparse.Namespace) -> int:
    return _give(config, arguments, Order("resume", _words(arguments)), "resumed")


def approve(config: Config, arguments: argparse.Namespace) -> int:
    return _give(config, arguments, Order("approve", _words(arguments), arguments.approval), "approved")


def refuse(config: Config, arguments: argparse.Namespace) -> int:
    return _give(config, arguments, Order("refuse", _words(arguments), arguments.approval), "refused")


def maintenance(config: Config, arguments: argparse.Namespace) -> int:
    about = _about(config, arguments)
    seconds = arguments.seconds if arguments.what == "start" else 0.0
    order = Order("maintenance", _words(arguments), about=about, seconds=seconds)
    state = f"maintenance of {about} {'started' if seconds else 'ended'}"
    return _give(config, arguments, order, state)


def _about(config: Config, arguments: argparse.Namespace) -> str:
    """Names what maintenance is about. Raises ConfigError for a server or pool that is not in healer.yml."""
    for kind, name, known in (
        ("server", arguments.server, {target.server for target in config.targets}),
        ("pool", arguments.pool, {target.pool for target in config.targets}),
    ):
        if name and name not in known:
            raise ConfigError(f"{kind} {name!r} is not in healer.yml; known: {', '.join(sorted(known)) or 'none'}")
        if name:
            return f"{kind} {name}"
    return "all"


def _give(config: Config, arguments: argparse.Namespace, order: Order, state: str) -> int:
    here = "" if arguments.listen else _here(config, order)  # --listen names a healer by its address
    where = here or _over_http(config, order) or _in_journal(config, order)
    print(json.dumps({"state": state, "through": where}) if arguments.json else f"{state} through {where}")
    return 0


def _words(arguments: argparse.Namespace) -> str:
    """The words that say who gives the order, and why."""
    return f"{_user()}: {arguments.reason or 'no reason given'}"


def _here(config: Config, order: Order) -> str:
    """Does it without the network: by the running healer's socket, or in a journal that no healer holds.

    Returns where, '' when there is neither. Nobody who takes the healer's port while it is away is asked, and so given
    the token.
    """
    by_socket = _over_socket(config, order)
    if by_socket or not Path(config.journal).exists():
        return by_socket
    try:
        return _in_journal(config, order)
    except NotWaiting:
        raise
    except JournalError:  # held by a healer that has no socket, or not for this user
        return ""


def _over_socket(config: Config, order: Order) -> str:
    """The socket where it was done, or '' when none is there that this user may use. Raises Blind when it failed."""
    path = unix_socket.beside(config.journal)
    try:
        with unix_socket.connect(path, SECONDS) as connection:
            if unix_socket.peer(connection) not in _owners(Path(config.journal)):
                return ""  # somebody else's, in a directory that others may write
            connection.sendall(json.dumps(asdict(order)).encode() + b"\n")
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


def _over_http(config: Config, order: Order) -> str:
    """The URL where it was done, or '' when nobody listens there. Raises Blind when it was not done."""
    from vllm_healer.net.client import Refused, RequestFailed, request
    from vllm_healer.web import Right, Tokens

    url = f"http://{config.listen}/{order.verb}"
    _check_listener(config)
    (token,) = Tokens.of(config).read(Right.OPERATE)
    headers = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")]
    try:
        answer = request("POST", url, SECONDS, headers, json.dumps(order.body).encode())
    except Refused:
        return ""
    except RequestFailed as error:
        raise Blind(f"{url} {error}; is another program on that port?") from None
    if answer.status != 200:
        raise Blind(f"{url} answered {answer.status}: {one_line(answer.text[: 2 * QUOTED], QUOTED)}")
    return url


def _check_listener(config: Config) -> None:
    """Raises Blind when a user who may have no healer listens on its port of this host: the token is not for them."""
    from vllm_healer.actuators.listeners import port_uids
    from vllm_healer.actuators.processes import PROC
    from vllm_healer.web.hosts import is_loopback

    host, _, port = config.listen.rpartition(":")
    if not is_loopback(config.listen) and host not in EVERYWHERE:
        return
    strangers = port_uids(int(port), PROC) - _owners(Path(config.journal))
    if strangers:
        raise Blind(
            f"user {min(strangers)} listens on {config.listen}, which is not the healer: the token was not sent; "
            "`ss -ltnp` shows the program, end it"
        )


def _in_journal(config: Config, order: Order) -> str:
    """Writes it for a healer that starts later. Raises JournalLocked when one runs after all."""
    from vllm_healer.clock import SystemClock
    from vllm_healer.journal import Journal
    from vllm_healer.ledger import Consent
    from vllm_healer.model import Instant

    clock = SystemClock()
    with closing(Journal.open(Path(config.journal), clock)) as journal:
        orders: dict[str, Callable[[str, Instant], None]] = {
            "pause": journal.pause,
            "resume": journal.resume,
            "approve": partial(journal.answer, order.approval, Consent.APPROVED),
            "refuse": partial(journal.answer, order.approval, Consent.REFUSED),
            "maintenance": partial(journal.maintain, order.about, order.seconds),
        }
        orders[order.verb](order.words, clock.now())
    return config.journal


def _user() -> str:
    """The name of who is at the keyboard; a container's user may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
