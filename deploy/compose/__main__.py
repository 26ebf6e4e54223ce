"""python -m deploy.compose up|down|status|logs|query|test-message|pin|exists"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from deploy.compose.down import down
from deploy.compose.engine import Compose
from deploy.compose.pin import pin
from deploy.compose.report import LOGIN, ask, send_test
from deploy.compose.up import up
from deploy.errors import DeployError

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    arguments = _parser().parse_args()
    try:
        return _run(arguments, Compose(ROOT, os.environ))
    except DeployError as error:
        print(f"{arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace, compose: Compose) -> int:
    if arguments.command == "up":
        return up(compose, arguments.services, os.environ)
    if arguments.command == "down":
        return down(compose, arguments.wipe)
    if arguments.command == "query":
        return ask(compose, arguments.expression)
    if arguments.command == "test-message":
        return send_test(compose)
    if arguments.command == "pin":
        return pin(ROOT, compose)
    if arguments.command == "exists":
        return 0 if compose.containers() else 1
    if arguments.command == "status":
        code = compose.run("--profile", "*", "ps", "-a")
        print(LOGIN)
        return code
    follow = ["--follow"] if arguments.follow else []
    return compose.run("--profile", "*", "logs", "--tail", "40", *follow, *arguments.services)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.compose", description="Runs the parts in containers.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("up", help="start, or apply what changed")
    command.add_argument("services", nargs="*", help="only these, and what they need")
    command = commands.add_parser("down", help="stop; data is kept")
    command.add_argument("--wipe", action="store_true", help="delete the data too")
    commands.add_parser("status", help="state of each part")
    command = commands.add_parser("logs", help="the last lines of each log")
    command.add_argument("services", nargs="*", help="only these")
    command.add_argument("--follow", action="store_true", help="show what comes, until Ctrl-C")
    command = commands.add_parser("query", help="ask Prometheus")
    command.add_argument("expression", help="in PromQL, such as 'up == 0'")
    commands.add_parser("test-message", help="send one harmless alert to every channel")
    commands.add_parser("pin", help="write the digests of the images beside their tags")
    commands.add_parser("exists", help="exit code 0 when there are containers of ours")
    return parser


if __name__ == "__main__":
    sys.exit(main())
