"""python -m deploy.native up|down|status|logs|query|test-message"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from deploy.errors import DeployError
from deploy.native.down import down
from deploy.native.layout import Layout, alone, check_owner
from deploy.native.status import LOGS, ask, logs, send_test, status
from deploy.native.up import up

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    arguments = _parser().parse_args()
    layout = Layout(ROOT, arguments.run.absolute(), arguments.env.absolute())
    try:
        check_owner(layout.run)
        return _run(arguments, layout)
    except BrokenPipeError:  # `… | head`; what was to be done is done
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (DeployError, OSError) as error:  # OSError: a full disk, a directory that may not be written
        print(f"{arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.command == "status":
        return status(layout, arguments.json)
    if arguments.command == "logs":
        return logs(layout, arguments.part, arguments.follow)
    if arguments.command == "query":
        return ask(layout, arguments.expression)
    if arguments.command == "test-message":
        return send_test(layout)
    with alone(layout.run):
        return up(layout) if arguments.command == "up" else down(layout)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--run", type=Path, default=ROOT / ".run", metavar="DIR", help="what is written, default .run")
    common.add_argument("--env", type=Path, default=ROOT / ".env", metavar="FILE", help="settings, default .env")
    parser = argparse.ArgumentParser(
        prog="python -m deploy.native", description="Runs the parts on this machine without containers."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", parents=[common], help="start, or apply what changed")
    commands.add_parser("down", parents=[common], help="stop; data is kept")
    command = commands.add_parser("status", parents=[common], help="state, pid, uptime and address of each part")
    command.add_argument("--json", action="store_true")
    command = commands.add_parser("logs", parents=[common], help="the last lines of each log")
    command.add_argument("part", nargs="?", default="", help=", ".join(LOGS))
    command.add_argument("--follow", action="store_true", help="show what comes, until Ctrl-C")
    commands.add_parser("test-message", parents=[common], help="send one harmless alert to every channel")
    command = commands.add_parser("query", parents=[common], help="ask Prometheus")
    command.add_argument("expression", help="in PromQL, such as 'up == 0'")
    return parser


if __name__ == "__main__":
    sys.exit(main())
