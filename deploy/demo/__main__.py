"""python -m deploy.demo up|break|story|list|down|record"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from deploy.demo.failures import FAILURES, find, listing
from deploy.demo.play import play
from deploy.demo.recording import record
from deploy.demo.story import story
from deploy.demo.terminal import Screen
from deploy.demo.up import up
from deploy.demo.world import choose_world, read_world
from deploy.errors import DeployError
from deploy.native.down import down
from deploy.native.layout import alone, check_owner
from deploy.simulator.errors import SimulatorError

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    arguments = _parser().parse_args()
    try:
        return _run(arguments)
    except BrokenPipeError:  # `… | head`; what was to be done is done
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (DeployError, SimulatorError, OSError) as error:
        print(f"demo {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "list":
        print("\n".join(FAILURES) if arguments.names else listing())
        return 0
    run = arguments.run.absolute()
    check_owner(run)
    if arguments.command == "up":
        return up(choose_world(ROOT, run, arguments.port))
    if arguments.command == "break" and not arguments.how:
        print(f"{listing()}\n\nmake demo-break HOW=hang [SERVER=2]")
        return 0
    return _in_world(arguments, run)


def _in_world(arguments: argparse.Namespace, run: Path) -> int:
    """Runs a command on the demo that was started in `run`."""
    failure = find(arguments.how) if arguments.command == "break" else None
    world = read_world(ROOT, run)
    if failure:
        return 0 if play(world, world.server(arguments.server), failure, Screen()).as_expected else 1
    if arguments.command == "story":
        return story(world)
    if arguments.command == "record":
        return record(world, arguments.out)
    with alone(world.run):
        return down(world.layout)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    default = ROOT / ".run-demo"
    common.add_argument("--run", type=Path, default=default, metavar="DIR", help="what is written, default .run-demo")
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description="Simulated servers that are healed.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("up", parents=[common], help="start it")
    command.add_argument("--port", default="", metavar="PORT", help="the first of 100 ports, default 19800")
    command = commands.add_parser("break", parents=[common], help="break a server and follow what happens")
    command.add_argument("how", nargs="?", default="", help="see `list`")
    command.add_argument("--server", type=int, default=1, metavar="N", help="1 to 3, default 1")
    commands.add_parser("story", parents=[common], help="five failures in a row")
    command = commands.add_parser("list", help="what can be broken")
    command.add_argument("--names", action="store_true", help="names alone")
    commands.add_parser("down", parents=[common], help="stop it")
    command = commands.add_parser("record", parents=[common], help="a hang and its healing as an SVG")
    command.add_argument("--out", type=Path, default=ROOT / "docs" / "demo.svg", metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
