"""Commands of a person to the servers of this host: `python -m vllm_monitor COMMAND`, in vLLM's environment.

A command is a module with WORDS, `arguments(parser)` and `run(options)`, which returns the exit code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vllm_monitor import free_memory, throttle_command

COMMANDS = {"free-memory": free_memory, "throttle": throttle_command}


def main(given: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 1 not by all, 2 wrong use."""
    top = argparse.ArgumentParser(prog="python -m vllm_monitor", description="Levers of vLLM servers on this host.")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        parser = commands.add_parser(name, help=module.WORDS, description=module.WORDS)
        module.arguments(parser)
        parser.set_defaults(run=module.run)
    options = top.parse_args(given)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
