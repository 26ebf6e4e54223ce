"""python -m deploy.simulator serve|fleet|load|break|mend|failures"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.simulator.engine.model import EngineOptions
from deploy.simulator.errors import SimulatorError
from deploy.simulator.options import ServerOptions, checked

SHIM = Path(__file__).resolve().parent / "bin" / "vllm"
COMMANDS = ("serve", "fleet", "load", "break", "mend", "failures")


def main(argv: Sequence[str] | None = None, as_vllm: bool = False) -> int:
    """`as_vllm`: the command line already is that of `vllm serve`."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(words)
    try:
        if arguments.command == "serve" and not as_vllm:
            checked(_server_options(arguments))  # a wrong option is said before the process changes
            os.execv(sys.executable, [sys.executable, str(SHIM), *words])
        return _run(arguments)
    except SimulatorError as error:
        print(f"{arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    """Each command imports what it needs: a server shall start at once."""
    if arguments.command == "serve":
        from deploy.simulator.processes.serve import serve

        return serve(checked(_server_options(arguments)))
    if arguments.command == "fleet":
        from deploy.simulator.fleet import fleet

        return fleet(checked(_server_options(arguments)), arguments.servers)
    if arguments.command == "load":
        from deploy.simulator.load.command import load

        return load(arguments)
    from deploy.simulator.failures.command import switch

    return switch(arguments)


def _server_options(arguments: argparse.Namespace) -> ServerOptions:
    fleet = arguments.command == "fleet"
    return ServerOptions(
        model=arguments.served_model_name or arguments.model,
        host=arguments.host,
        port=arguments.first_port if fleet else arguments.port,
        api_key=arguments.api_key,
        dev_mode=arguments.dev_mode,
        load_tracking=arguments.enable_server_load_tracking,
        start_seconds=arguments.start_seconds,
        request_seconds=arguments.request_seconds,
        shutdown_timeout=0.0 if fleet else arguments.shutdown_timeout,
        execute_timeout=float(os.environ.get("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", "300")),
        speed=arguments.speed,
        seed=arguments.seed,
        state=None if fleet else arguments.state,
        script=arguments.script,
        access_log=arguments.access_log,
        engine=_engine_options(arguments),
    )


def _engine_options(arguments: argparse.Namespace) -> EngineOptions:
    return EngineOptions(
        max_num_seqs=arguments.max_num_seqs,
        max_num_batched_tokens=arguments.max_num_batched_tokens,
        num_gpu_blocks=arguments.num_gpu_blocks,
        block_size=arguments.block_size,
        max_model_len=arguments.max_model_len,
        enable_prefix_caching=arguments.enable_prefix_caching,
        enable_chunked_prefill=arguments.enable_chunked_prefill,
        step_base=arguments.step_base,
        step_per_token=arguments.step_per_token,
        step_jitter=arguments.step_jitter,
        seed=arguments.seed,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.simulator", description="Simulated vLLM servers.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands.add_parser("serve", parents=[_server_parser()], help="one server with processes like vLLM's"))
    _add_fleet(commands.add_parser("fleet", parents=[_server_parser()], help="many servers in one process"))
    _add_load(commands.add_parser("load", help="requests at a rate, for a time"))
    _add_switch(commands)
    return parser


def _server_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    on_or_off = argparse.BooleanOptionalAction
    engine, own = EngineOptions(), ServerOptions()
    parser.add_argument("--host", default=own.host, help=f"default {own.host}")
    parser.add_argument("--served-model-name", default="", metavar="NAME", help="default: the model")
    parser.add_argument("--api-key", default="", metavar="KEY", help="asked for under /v1")
    parser.add_argument("--dev-mode", action=on_or_off, default=own.dev_mode, help="the management endpoints")
    parser.add_argument("--enable-server-load-tracking", action="store_true", help="/load counts")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="simulated seconds in a real one")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is left to chance")
    parser.add_argument("--script", type=Path, metavar="FILE", help="what breaks when")
    parser.add_argument("--access-log", action=on_or_off, default=None, help="a line for each request")
    parser.add_argument("--start-seconds", type=float, default=own.start_seconds, metavar="S", help="default 3")
    parser.add_argument("--request-seconds", type=float, default=own.request_seconds, metavar="S",
                        help="what the API server adds to each request, default 0")  # fmt: skip
    for name in ("max_num_seqs", "max_num_batched_tokens", "num_gpu_blocks", "block_size", "max_model_len"):
        default = getattr(engine, name)
        parser.add_argument(_flag(name), type=int, default=default, metavar="N", help=f"default {default}")
    for name in ("enable_prefix_caching", "enable_chunked_prefill"):
        parser.add_argument(_flag(name), action=on_or_off, default=getattr(engine, name))
    for name in ("step_base", "step_per_token", "step_jitter"):
        default = getattr(engine, name)
        parser.add_argument(_flag(name), type=float, default=default, metavar="S", help=f"default {default:g}")
    return parser


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", default="sim", help="the name it serves, default sim")
    parser.add_argument("--port", type=int, default=8000, help="default 8000")
    parser.add_argument("--shutdown-timeout", type=float, default=0.0, metavar="S", help="SIGTERM waits so long")
    parser.add_argument("--state", type=Path, metavar="DIR", help="for failures that outlive the process")
    parser.set_defaults(access_log=True)


def _add_fleet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--servers", type=int, default=100, metavar="N", help="default 100")
    parser.add_argument("--first-port", type=int, default=18000, metavar="PORT", help="default 18000")
    parser.set_defaults(access_log=False, model="sim")


def _add_load(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--targets", required=True, help="host:port, separated by commas")
    parser.add_argument("--rate", type=float, default=2.0, metavar="R", help="requests a second in all, default 2")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="default 60")
    parser.add_argument("--prompt-tokens", type=int, default=64, metavar="N", help="median, default 64")
    parser.add_argument("--output-tokens", type=int, default=64, metavar="N", help="median, default 64")
    parser.add_argument("--in-flight", type=int, default=256, metavar="N", help="at most, default 256")
    parser.add_argument("--model", default="sim", help="default sim")
    parser.add_argument("--api-key", default="", metavar="KEY")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_switch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--port", type=int, default=8000, help="of the server, default 8000")
    command = commands.add_parser("break", parents=[where], help="break a server")
    command.add_argument("how", help="see `failures`")
    command.add_argument("--times", type=int, metavar="N", help="starts that fail, for what outlives the process")
    command = commands.add_parser("mend", parents=[where], help="end a failure")
    command.add_argument("--state", type=Path, metavar="DIR", help="of a server that is not up")
    commands.add_parser("failures", help="list them")
