"""Reads the arguments of `vllm-healer` and calls the function that answers the command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from pathlib import Path

from vllm_healer.config import Config, load
from vllm_healer.errors import HealerError

EPILOG = """\
`vllm-healer COMMAND --help` tells a command's options.
Order of precedence: healer.yml, then VLLM_HEALER_* variables, then options.
Exit status: 0 done, 1 failed (the reason is on standard error), 2 wrong use."""

# The module of each command, imported when it is given: `pause` must not wait for all of them on a busy machine.
COMMANDS = {
    "serve": "service",
    "check-config": "service",
    "history": "journal",
    "explain": "journal",
    "backup": "journal",
    "pause": "control",
    "resume": "control",
    "approve": "control",
    "refuse": "control",
    "maintenance": "control",
    "simulate": "preview",
}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return _command(arguments.command)(_config(arguments), arguments)
    except HealerError as error:
        print(f"vllm-healer: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `vllm-healer history | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _command(name: str) -> Callable[[Config, argparse.Namespace], int]:
    """The function of a command; it has the command's name."""
    module = import_module(f"vllm_healer.cli.{COMMANDS[name]}")
    function: Callable[[Config, argparse.Namespace], int] = getattr(module, name.replace("-", "_"))
    return function


def _config(arguments: argparse.Namespace) -> Config:
    return load(arguments.config, os.environ, {"listen": arguments.listen, "journal": arguments.journal})


def _parser() -> argparse.ArgumentParser:
    common = _common()
    parser = argparse.ArgumentParser(
        prog="vllm-healer",
        description="Restarts vLLM servers that are dead or hang, when Alertmanager says so and every guard agrees.",
        epilog=EPILOG,
        formatter_class=_formatter,
    )
    parser.add_argument("--version", action="version", version=f"vllm-healer {metadata.version('vllm-healer')}")
    commands = parser.add_subparsers(dest="command", required=True, title="commands", metavar="COMMAND")

    def add(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            parents=[common],
            help=words,
            description=f"{words[0].upper()}{words[1:]}.",
            formatter_class=_formatter,
        )

    add("serve", "run the healer until SIGTERM; needs token_file")
    add("check-config", "print the configuration as it takes effect")
    history = add("history", "print the journal's last sentences")
    history.add_argument("--limit", type=_count, default=50, metavar="N", help="how many (default 50)")
    explain = add("explain", "print everything about one incident, in order")
    explain.add_argument("incident", type=_count, metavar="INCIDENT", help="its number in `vllm-healer history`")
    backup = add("backup", "copy the journal, also while the healer runs; overwrites nothing")
    backup.add_argument("file", type=Path, metavar="FILE", help="the copy, closed to other users (mode 0600)")
    for name, words in (
        ("pause", "stop acting until resumed; diagnosing goes on"),
        ("resume", "act again, also on what was given up"),
    ):
        add(name, words).add_argument("--reason", default="", metavar="WORDS", help="kept in the journal")
    for name, words in (
        ("approve", "allow what the healer asks for; it is done within seconds, if all else still allows it"),
        ("refuse", "forbid what the healer asks for, as long as this incident lasts"),
    ):
        answer = add(name, words)
        answer.add_argument("approval", type=_count, metavar="APPROVAL", help="its number in `vllm-healer history`")
        answer.add_argument("--reason", default="", metavar="WORDS", help="kept in the journal")
    maintenance = add("maintenance", "do nothing for a while to a server, a pool or (without either) anything")
    maintenance.add_argument("what", choices=("start", "end"))
    about = maintenance.add_mutually_exclusive_group()
    about.add_argument("--server", default="", metavar="NAME", help="as in healer.yml")
    about.add_argument("--pool", default="", metavar="NAME", help="as in healer.yml")
    words = "at most 30d; it ends by itself then (default 2h)"
    maintenance.add_argument("--for", dest="seconds", type=_duration, default=7200.0, metavar="TIME", help=words)
    maintenance.add_argument("--reason", default="", metavar="WORDS", help="kept in the journal")
    simulate = add("simulate", "say what would be done about a webhook's payload; changes nothing")
    simulate.add_argument("payload", type=Path, metavar="PAYLOAD.json", help="what Alertmanager would send, version 4")
    return parser


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="healer.yml; without it: dry run, no targets")
    common.add_argument("--listen", default="", metavar="HOST:PORT", help="instead of the configuration's address")
    common.add_argument("--journal", default="", metavar="FILE", help="instead of the configuration's journal")
    common.add_argument("--json", action="store_true", help="print JSON; for serve: log in JSON, a line an event")
    return common


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=100)


def _duration(text: str) -> float:
    """The seconds of a time such as 90m, 2h or 3d."""
    number, unit = text[:-1], {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:])
    if unit is None or not number.isdecimal() or not 0 < int(number) * unit <= 30 * 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time up to 30d; write 90m, 2h or 3d")
    return float(int(number) * unit)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)
