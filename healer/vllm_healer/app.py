"""Puts the parts together. It is the only module that knows all of them."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from types import FrameType

import requests

from vllm_healer.actuators import make_actuators
from vllm_healer.amapi import Alertmanager
from vllm_healer.clock import SystemClock
from vllm_healer.config import Config, compare_watched
from vllm_healer.errors import ConfigError
from vllm_healer.forensics import Forensics
from vllm_healer.journal import Admission, Journal, JournalReader
from vllm_healer.metrics import HealerMetrics
from vllm_healer.model import ProcessRef
from vllm_healer.pipeline.sources import Sources
from vllm_healer.ports import Clock
from vllm_healer.probes import Probes
from vllm_healer.promapi import Prometheus
from vllm_healer.registry import alerts
from vllm_healer.web import Control, Tokens, WebDeps, create_app, make_server
from vllm_healer.web.server import Server
from vllm_healer.worker.deps import Deps
from vllm_healer.worker.loop import Worker
from vllm_healer.worker.pruner import Pruner

log = logging.getLogger(__name__)

# How long a thread computes before another has its turn. By Python's 5 ms the one that reads all connections would wait
# for those that work on webhooks after each of its many short calls.
SWITCH_SECONDS = 0.0005
STOPS = (signal.SIGTERM, signal.SIGINT)


def make_sources(config: Config, journal: JournalReader, clock: Clock) -> Sources:
    """The sources of the real world, to be read."""

    def remembered(server: str) -> dict[str, tuple[ProcessRef, ...]]:
        return journal.memory(server).trees

    return Sources(
        config=config,
        clock=clock,
        journal=journal,
        prometheus=Prometheus(config.prometheus_url, http_config=config.prometheus_http_config),
        alertmanager=Alertmanager(
            config.alertmanager_url,
            http_config=config.alertmanager_http_config,
            receiver=config.alertmanager_receiver,
        ),
        eyes=Probes(),
        actuators=make_actuators(remembered),
    )


def make_deps(config: Config, journal: Journal, clock: Clock, own: HealerMetrics) -> Deps:
    """Returns the same sources with what is needed to act on them."""
    sources = make_sources(config, journal, clock)
    read = {field.name: getattr(sources, field.name) for field in fields(sources)} | {"journal": journal}
    keep = Forensics.beside(config.journal).keep
    return Deps(**read, own=own, tell=fallback(config.fallback_webhook_file), keep=keep)


def fallback(webhook_file: str) -> Callable[[str], bool]:
    """A channel that needs no Alertmanager: a Slack-compatible webhook whose URL is in a file, else only the log.

    Only an answer of 2xx is a delivery: a redirect leads to a login.
    """

    def tell(words: str) -> bool:
        problem = _post(webhook_file, words) if webhook_file else ""
        if problem:
            log.critical("fallback channel did not take the message (%s), it is tried again: %s", problem, words)
        else:
            log.critical("fallback channel: %s", words)
        return not problem

    return tell


def _post(webhook_file: str, words: str) -> str:
    """Posts the message; returns why it was not taken, or ''. The URL is a secret and not in the words."""
    try:
        url, text = Path(webhook_file).read_text(encoding="utf-8").strip(), f"vllm-healer: {words}"
        answer = requests.post(url, json={"text": text}, timeout=10, allow_redirects=False, stream=True)
    except (OSError, ValueError) as error:  # requests' errors are OSError; a URL that is none is ValueError
        return type(error).__name__
    answer.close()
    return "" if 200 <= answer.status_code < 300 else f"HTTP {answer.status_code}"


def run(config: Config) -> None:
    """Serves until SIGTERM or SIGINT. Raises JournalLocked, JournalError or ConfigError before it does anything."""
    tokens = Tokens.of(config)
    tokens.check()  # a healer that lets nobody in would hear nothing
    sys.setswitchinterval(SWITCH_SECONDS)
    clock = SystemClock()
    admission = Admission(frozenset(target.server for target in config.targets), alerts())
    with closing(Journal.open(Path(config.journal), clock, admission=admission)) as journal:
        own = HealerMetrics()
        own.mode(config.mode.value)
        _watch(journal, own)
        own.differences((one.server, one.kind) for one in compare_watched(config))
        worker, pruner = Worker(make_deps(config, journal, clock, own)), Pruner(journal, clock, config.retention)
        deps = WebDeps(config=config, journal=journal, worker=worker, clock=clock, metrics=own, tokens=tokens.read)
        # Before the worker starts: a healer that nobody can reach, not even to pause it, must not act.
        server = make_server(create_app(deps), *split_listen(config.listen))
        if tokens.warning():
            log.warning(tokens.warning())
        log.info("listening on %s, mode %s, targets: %s", config.listen, config.mode.value, _servers(config))
        _work_and_serve(worker, pruner, server, Control(deps))


def _watch(journal: Journal, own: HealerMetrics) -> None:
    journal.on_error(own.journal_errors.inc)
    own.journal_bytes.set_function(journal.size)
    own.journal_free.set_function(journal.free)


def _work_and_serve(worker: Worker, pruner: Pruner, server: Server, control: Control) -> None:
    _stop_on_signal()
    try:
        control.start()
        worker.start()
        pruner.start()
        server.run()
    finally:
        control.close()
        log.info("stopping; what is unfinished is in the journal")
        pruner.stop()
        worker.stop()


def split_listen(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"listen: {listen!r} is not HOST:PORT; for example 127.0.0.1:9856")
    return host.strip("[]"), int(port)


def _servers(config: Config) -> str:
    return ", ".join(target.server for target in config.targets) or "none listed (alerts are only journalled)"


def _stop_on_signal() -> None:
    """Lets the first signal end serving, and ignores those that follow: they must not break off the stopping."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in STOPS:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(0)

    for each in STOPS:
        signal.signal(each, stop)
