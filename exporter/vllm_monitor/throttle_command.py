"""`python -m vllm_monitor throttle`: has the servers of this host shed load, and takes that back."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

from vllm_monitor import place
from vllm_monitor.limits import MOST_SECONDS, STATUSES, BadThrottle, Limit, Order, format_limit, parse_limits
from vllm_monitor.order_file import NAME, read_order, write_order

WORDS = "have servers shed load: refuse requests beyond a limit, for a time"
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what it can be told."""
    what = parser.add_subparsers(dest="what", required=True)
    on = what.add_parser("on", help="let no more in than this, in place of what was set before")
    on.add_argument(
        "--for", dest="seconds", type=seconds_of, default=600.0, metavar="TIME", help="then it ends (default 10m)"
    )
    on.add_argument("--concurrency", type=int, metavar="N", help="requests at once")
    on.add_argument("--requests-per-second", type=float, metavar="N")
    on.add_argument("--tokens-per-second", type=float, metavar="N", help="generated tokens")
    on.add_argument("--model", default="", help="of this model only")
    on.add_argument("--tenant", default="", help="of this tenant only, as vllm_tenant_requests_total has it")
    on.add_argument("--priority-from", type=int, metavar="N", help="of this priority and larger, less urgent ones only")
    on.add_argument("--port", type=int, default=0, help="of the server on this port only")
    on.add_argument("--status", type=int, default=429, choices=STATUSES)
    on.add_argument("--add", action="store_true", help="to the limits that are set, which then end with this one")
    what.add_parser("off", help="let everybody in")
    what.add_parser("show", help="say what is set")


def run(options: argparse.Namespace) -> int:
    """Returns 0, or 1 when it could not be done."""
    folder = place.directory()
    try:
        if folder is None:
            raise BadThrottle(
                f"this user cannot write into {place.chosen()}: run it as vLLM's user, with its {place.VARIABLE}"
            )
        print(_show(folder) if options.what == "show" else _set(folder, options))
    except (OSError, BadThrottle) as error:
        print(f"throttle: {error}", file=sys.stderr)
        return 1
    return 0


def _read(folder: Path) -> Order | None:
    """Raises BadThrottle, which names the file."""
    try:
        return read_order(folder)
    except BadThrottle as error:
        raise BadThrottle(f"{folder / NAME}: {error}") from None


def _set(folder: Path, options: argparse.Namespace) -> str:
    if options.what == "off":
        return _words(write_order(folder, (), 0.0, 429))
    limits = parse_limits([{name: getattr(options, name) for name in Limit.__dataclass_fields__}])
    before = _read(folder) if options.add else None
    if before is not None and before.expires > time.time():
        limits = (*before.limits, *limits)
    return _words(write_order(folder, limits, options.seconds, options.status))


def _show(folder: Path) -> str:
    return _words(_read(folder))


def _words(order: Order | None) -> str:
    left = order.expires - time.time() if order is not None else 0.0
    if order is None or not order.limits or left <= 0:
        return "throttle: off"
    limits = "; ".join(" ".join(f"{key}={value}" for key, value in format_limit(one).items()) for one in order.limits)
    return f"throttle: on for {left:.0f} s, answers {order.status}: {limits}"


def seconds_of(text: str) -> float:
    """Parses 90, 90s, 10m or 2h. Raises ArgumentTypeError."""
    match = re.fullmatch(r"(\d{1,6})([smh]?)", text)
    seconds = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 90s, 10m or 2h, of a day at most")
    return float(seconds)
