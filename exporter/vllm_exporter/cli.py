"""The command line: `vllm-exporter serve|once|list|check-config|status|hang-report|log-report|install-plugin`.

Exit codes: 0 success, 1 failure (hang-report: a hang was found), 2 wrong use."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vllm_exporter import __version__
from vllm_exporter.app import App, collector_names, enabled, interval, load_collectors
from vllm_exporter.clock import SystemClock
from vllm_exporter.config.addresses import parse_listen
from vllm_exporter.config.config import Config, load, plain
from vllm_exporter.config.named_paths import NamedPath, config_paths
from vllm_exporter.config.trusted_paths import require_own_settings, require_trusted
from vllm_exporter.errors import ConfigError, ExporterError, NoData
from vllm_exporter.log import log
from vllm_exporter.metrics.gzip import join
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.run.runner import View
from vllm_exporter.web.hosts import OwnHosts
from vllm_exporter.web.server import ClientLimits, Server, listen

ONCE_SECONDS = 30.0  # for all collectors of `once`: longer than any of their own timeouts
# How long a thread with much to do may keep the others waiting. By default it is 5 ms, each time a scrape waits for the
# kernel: 140 ms for one while a log of 20,000 lines a second is read, and 2 ms with this.
SWITCH_SECONDS = 0.0005
OLDEST_PYTHON = (3, 11)  # the distribution installs on 3.10, too, for the part inside vLLM
LONGEST = 3600.0  # seconds that hang-report may watch a server


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        version = ".".join(map(str, sys.version_info[:3]))
        words = f"vllm-exporter needs Python 3.11 or newer, and this is {version}; vllm_monitor works with it"
        print(words, file=sys.stderr)
        return 1
    arguments = parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return command(arguments)
    except ExporterError as error:
        print(f"vllm-exporter: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `vllm-exporter once | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the last flush would complain
        return 0


def serve(arguments: argparse.Namespace) -> int:
    """Listens until SIGTERM or SIGINT."""
    sys.setswitchinterval(SWITCH_SECONDS)
    config = read_config(arguments)
    chosen = enabled(load_collectors(), config)
    require_trusted(named_paths(config, chosen))
    context = Context(config, SystemClock())
    app = App(context, chosen)
    server = Server(listen(config.listen), app.answer, context.clock, ClientLimits(), own_hosts(config))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    log("info", "vllm-exporter started", version=__version__, listen=config.listen, watches=watched(config))
    app.start()
    server.serve()
    app.stop()
    log("info", "vllm-exporter stopped")
    return 0


def once(arguments: argparse.Namespace) -> int:
    """Runs every collector once and prints the text of /metrics; returns 1 if one of them failed or did not finish.

    It writes no file and sends no event."""
    from vllm_exporter.people.scratch_state import own_config  # here, because the daemon needs none of it

    with own_config(read_config(arguments)) as config:
        app = App(Context(config, SystemClock()), enabled(load_collectors(), config))
        app.run_once(ONCE_SECONDS)
    views = app.views()
    if arguments.json:
        print_json([run_facts(view) for view in views])
    else:
        sys.stdout.write(join(app.metrics()).decode())
        sys.stdout.flush()
    return int(any(view.result in ("failed", "not_run") for view in views))


def list_collectors(arguments: argparse.Namespace) -> int:
    """Prints every collector: on or off by the configuration, its interval, what it reads."""
    classes = load_collectors()
    config = read_config(arguments)
    on = enabled(classes, config)
    rows = [(name, name in on, interval(config, name, cls), subject(cls)) for name, cls in classes.items()]
    if arguments.json:
        print_json([dict(zip(("name", "enabled", "interval_seconds", "reads"), row, strict=True)) for row in rows])
        return 0
    width = max(len(name) for name in classes)
    for name, is_on, seconds, words in rows:
        print(f"{name:<{width}}  {'on ' if is_on else 'off'}  every {seconds:g} s  {words}")
    return 0


def check_config(arguments: argparse.Namespace) -> int:
    """Prints the configuration that file, environment and flags make together; returns 1 if a file is missing that
    only a person can put there. The output has no secret, only the paths of secrets."""
    config = read_config(arguments)
    chosen = enabled(load_collectors(), config)  # what only a collector can check of its own section
    if not arguments.syntax_only and not tell_paths(config, chosen):
        return 1
    merged = plain(config)
    if arguments.json:
        print_json(merged)
        return 0
    import yaml

    print(yaml.safe_dump(merged, sort_keys=False), end="")
    return 0


def tell_paths(config: Config, chosen: Mapping[str, type[Collector]]) -> bool:
    """Prints each configured path that is missing. Returns False if one must exist."""
    from vllm_exporter.config.paths import look_at  # here, because the daemon needs none of it

    found = look_at(named_paths(config, chosen))
    for one in found:
        print(f"{'error' if one.wrong else 'warning'}: {one.words}", file=sys.stderr)
    return not any(one.wrong for one in found)


def named_paths(config: Config, chosen: Mapping[str, type[Collector]]) -> list[NamedPath]:
    """Returns every path that the configuration names."""
    return [*config_paths(config), *(path for name, cls in chosen.items() for path in cls.paths(config, name))]


def status(arguments: argparse.Namespace) -> int:
    """Prints servers, GPUs, states, probes and the last errors; returns 1 if a server is not healthy or is stalled."""
    from vllm_exporter.people.status import HealthClient, watch  # here, because the daemon needs none of it

    asker = HealthClient(read_config(arguments))
    if arguments.watch:
        stop = threading.Event()
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        watch(asker, stop, arguments.json)
        asker.close()
        return 0
    said, by = asker.ask()
    asker.close()
    if arguments.json:
        print_json(said)
    else:
        print(f"{said['summary']}\nSaid {by}.")
    return int(any(one.get("health") != "ok" or one.get("stalled") for one in said["stats"]["servers"]))


def hang_report(arguments: argparse.Namespace) -> int:
    """Watches each server for some seconds and names the likely cause of a hang; returns 1 if there is one."""
    from vllm_exporter.people.hang_report import as_facts, as_lines, report

    found = report(read_config(arguments), arguments.server, arguments.seconds)
    if arguments.json:
        print_json([as_facts(seen, diagnosis) for seen, diagnosis in found])
    else:
        print("\n\n".join("\n".join(as_lines(seen, diagnosis)) for seen, diagnosis in found))
    return int(any(diagnosis.cause.hang for _, diagnosis in found))


def log_report(arguments: argparse.Namespace) -> int:
    """Prints what a log says: starts, states, faults, what to do. Neither exporter nor configuration is needed."""
    from vllm_exporter.people.log_report import as_facts, report
    from vllm_exporter.people.log_report_words import as_lines

    found = report(arguments.file)
    if arguments.json:
        print_json(as_facts(found))
    else:
        print("\n".join(as_lines(found)))
    if found.problem:
        print(f"vllm-exporter: {found.name}: could not be read to its end: {found.problem}", file=sys.stderr)
    return 0


def install_plugin(arguments: argparse.Namespace) -> int:
    """Installs the part inside vLLM into the environments of the servers, unless told to check only; prints what would
    load there, and why not. Returns 1 if something would not, 2 without anything to check."""
    from vllm_exporter.people.plugin.report import as_facts, as_lines, choose_places, choose_source, install, report

    config = read_config(arguments)
    try:
        places = choose_places(arguments.python, arguments.port)
        source = "" if arguments.check else choose_source(arguments.source)
    except (ConfigError, NoData) as error:
        print(f"vllm-exporter: {error}", file=sys.stderr)
        return 2
    if not arguments.check:
        for place in {one.python: one for one in places}.values():
            print(install(place, source), file=sys.stderr)
    found = [report(config, place) for place in places]
    if arguments.json:
        print_json([as_facts(one) for one in found])
    else:
        print("\n".join(as_lines(found)))
    return int(not all(one.loads for one in found))


def read_config(arguments: argparse.Namespace) -> Config:
    require_own_settings(arguments.config)
    overrides = {"listen": arguments.listen} if arguments.listen else {}
    return load(arguments.config, os.environ, overrides, collectors=collector_names())


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands and their flags."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="exporter.yml; else defaults and environment")
    common.add_argument("--listen", type=listen_address, metavar="HOST:PORT", help="default 127.0.0.1:9855")
    top = argparse.ArgumentParser(prog="vllm-exporter", description="Prometheus exporter for vLLM servers; reads only.")
    top.add_argument("--version", action="version", version=f"vllm-exporter {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for name, (run, words) in COMMANDS.items():
        alone = run is log_report  # which needs no configuration
        command = commands.add_parser(name, parents=[] if alone else [common], help=words, description=words)
        command.set_defaults(run=run)
        if run is not serve:  # which prints nothing
            command.add_argument("--json", action="store_true", help="print JSON")
        if run is check_config:
            command.add_argument("--syntax-only", action="store_true", help="do not look for the files that it names")
        if run is status:
            command.add_argument("--watch", action="store_true", help="repeat every 2 s; with --json a line each")
        if run is install_plugin:
            command.add_argument("--check", action="store_true", help="install nothing")
            command.add_argument("--python", default="", metavar="PATH", help="vLLM's; default: of the running servers")
            command.add_argument("--port", type=int, help="only the server on this port")
            command.add_argument("--from", dest="source", default="", metavar="PATH", help="a wheel, or exporter/")
        if run is log_report:
            command.add_argument(
                "file", metavar="FILE", help="the log, also packed with gzip, xz or bzip2; - for standard input"
            )
        if run is hang_report:
            command.add_argument("--server", default="", help="only this server; default: all that are configured")
            command.add_argument("--seconds", type=duration, default=10.0, help="how long to watch each (default 10)")
    return top


def listen_address(text: str) -> str:
    try:
        parse_listen(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def duration(text: str) -> float:
    """Returns seconds. Raises ArgumentTypeError outside 0 (excluded) to LONGEST."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST:  # NaN fails both comparisons
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0 and up to {LONGEST:g}")
    return seconds


def own_hosts(config: Config) -> OwnHosts:
    """Returns the names under which this host's pages may be asked for over loopback."""
    return OwnHosts(socket.gethostname(), (*(host for host, _ in parse_listen(config.listen)), *config.hosts))


def watched(config: Config) -> str:
    """Returns the targets for the log line of the start."""
    return ", ".join(target.server for target in config.targets) or "no server: set VLLM_TARGETS=host:port"


def subject(cls: type[Collector]) -> str:
    """Returns what the collector reads: the first line of its module's docstring."""
    return (sys.modules[cls.__module__].__doc__ or "").strip().partition("\n")[0]


def run_facts(view: View) -> dict[str, object]:
    """Returns one run of a collector as plain data for --json."""
    samples = [
        {
            "name": sample.family.name,
            "labels": dict(zip(sample.family.labels, sample.values, strict=True)),
            "value": sample.value,
        }
        for sample in view.samples
    ]
    return {"collector": view.name, "result": view.result, "reason": view.detail, "samples": samples}


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int], str]] = {
    "serve": (serve, "serve /metrics until SIGTERM"),
    "once": (once, "run every collector once and print the metrics"),
    "list": (list_collectors, "print the collectors: on or off, interval, what they read"),
    "status": (status, "print the state of servers, GPUs and probes"),
    "hang-report": (hang_report, "watch the servers for some seconds and name the likely cause of a hang"),
    "log-report": (log_report, "print what a server's or kernel's log says: starts, states, faults, what to do"),
    "install-plugin": (install_plugin, "install the part inside vLLM, and print what would load and why not"),
    "check-config": (check_config, "print the configuration that file, environment and flags make together"),
}

if __name__ == "__main__":
    sys.exit(main())
