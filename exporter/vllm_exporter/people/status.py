"""`vllm-exporter status`: what the running exporter knows, else what one collection finds."""

from __future__ import annotations

import threading
import time
from typing import Any

from vllm_exporter.app import App, enabled, load_collectors
from vllm_exporter.collector import Context
from vllm_exporter.config import Config
from vllm_exporter.pages import health_facts
from vllm_exporter.people.exporter_health import ask_exporter, quiet

ONCE_SECONDS = 20.0  # for all collectors, when no exporter runs
SETTLE_SECONDS = 1.5  # then: the first canaries are on their way
EVERY = 2.0  # seconds between two pictures of --watch
CLEAR = "\x1b[H\x1b[2J"


class Asker:
    """Asks the exporter that runs here; without one it runs the collectors itself, from the first question on."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._app: App | None = None

    def ask(self) -> tuple[dict[str, Any], str]:
        """{"stats": …, "summary": …}, and who says so. Raises SourceError when something else answers there."""
        said = ask_exporter(self._config)
        if said is not None:
            return said, f"by the exporter on {self._config.listen}"
        if self._app is None:
            self._app = start_collecting(self._config)
        return health_facts(self._app), f"by own collection; no exporter answers on {self._config.listen}"

    def close(self) -> None:
        if self._app is not None:
            self._app.stop()


def start_collecting(config: Config) -> App:
    """Collectors as in the daemon, so that those that need each other's facts find them; each has run once."""
    app = App(Context(config), enabled(load_collectors(), config), quiet)
    app.start()
    deadline = time.monotonic() + ONCE_SECONDS
    while time.monotonic() < deadline and any(view.result == "not_run" for view in app.views()):
        time.sleep(0.1)
    time.sleep(SETTLE_SECONDS)
    return app


def watch(asker: Asker, stop: threading.Event) -> None:
    """A new picture every two seconds, until `stop`."""
    while not stop.is_set():
        said, by = asker.ask()
        print(f"{CLEAR}{said['summary']}\nEvery {EVERY:g} s; Ctrl-C ends it. Said {by}.", flush=True)
        stop.wait(EVERY)
