"""`vllm-exporter status`: prints what the running exporter knows, else what one collection finds. Writes no file."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from typing import Any

from vllm_exporter.app import App, enabled, load_collectors
from vllm_exporter.config.config import Config
from vllm_exporter.facts.facts import Sights
from vllm_exporter.people.exporter_health import ask_exporter, quiet
from vllm_exporter.people.scratch_state import own_config
from vllm_exporter.run.collector import Context
from vllm_exporter.web.pages import health_facts

ONCE_SECONDS = 20.0  # for all collectors, when no exporter runs
SETTLE_SECONDS = 1.5  # then: the first canaries are on their way
EVERY = 2.0  # seconds between two pictures of --watch
CLEAR = "\x1b[H\x1b[2J"


class HealthClient:
    """Asks the exporter that runs here; without one it runs the collectors itself, from the first request on."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._app: App | None = None
        self._kept = ExitStack()

    def ask(self) -> tuple[dict[str, Any], str]:
        """Returns {"stats": …, "summary": …} and its source. Raises SourceError when another program answers there."""
        said = ask_exporter(self._config)
        if said is not None:
            return said, f"by the exporter on {self._config.listen}"
        if self._app is None:
            self._app = start_collecting(self._kept.enter_context(own_config(self._config)))
        return health_facts(self._app), f"by own collection; no exporter answers on {self._config.listen}"

    def close(self) -> None:
        if self._app is not None:
            self._app.stop()
        self._kept.close()


def start_collecting(config: Config) -> App:
    """Starts the collectors as the daemon does, so that they find each other's facts; returns when each ran once."""
    app = App(Context(config), enabled(load_collectors(), config), quiet)
    app.start()
    deadline = time.monotonic() + ONCE_SECONDS
    while time.monotonic() < deadline and not is_complete(app):
        time.sleep(0.1)
    time.sleep(SETTLE_SECONDS)
    return app


def is_complete(app: App) -> bool:
    """True if each collector has run, and each server has answered the probe or exceeded its time."""
    results = {view.name: view.result for view in app.views()}
    if "not_run" in results.values():
        return False
    sights = app.board.latest(Sights)
    seen = sights.servers if sights is not None else {}
    return results.get("probe") != "ok" or all(target.server in seen for target in app.config.targets)


def watch(asker: HealthClient, stop: threading.Event, as_json: bool = False) -> None:
    """Prints a new picture every two seconds until `stop`; for programs one JSON document per line."""
    while not stop.is_set():
        said, by = asker.ask()
        text = f"{CLEAR}{said['summary']}\nEvery {EVERY:g} s; Ctrl-C ends it. Said {by}."
        print(json.dumps(said) if as_json else text, flush=True)
        stop.wait(EVERY)
