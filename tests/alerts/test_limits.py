"""A hostile server in a real Prometheus: it is refused, and everything else goes on."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.alerts.live import World, copy_prometheus, run_program, serve
from tests.alerts.toolchain import PROMETHEUS, Tools
from tests.patience import wait_for
from tests.ports import free_port

SCRAPES = 3  # of the hostile page; without limits the second has not ended when the memory has
MEGABYTES = 500  # Prometheus 2.42 and 3.15 take 110 to 160 MB here, and without limits 1.8 GB within ten seconds

HOSTILE = {
    "endless": (b"vllm:x 1\n" * 8192, True, "body size limit exceeded"),
    "many samples": (b"".join(b'vllm:x{n="%d"} 1\n' % n for n in range(60_000)), False, "sample limit exceeded"),
    "many labels": (
        b"vllm:x{" + b",".join(b'l%d="1"' % n for n in range(120)) + b"} 1\n",
        False,
        "label_limit exceeded",
    ),
    "a long value": (b'vllm:x{l="' + b"v" * 9000 + b'"} 1\n', False, "label_value_length_limit exceeded"),
    "a long name": (b"vllm:x{" + b"l" * 300 + b'="1"} 1\n', False, "label_name_length_limit exceeded"),
}


@contextmanager
def hostile(page: bytes, endless: bool) -> Iterator[tuple[int, list[str]]]:
    """Yields the port, and the list of the scrapes so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            with suppress(OSError):  # the other side has had enough
                self.wfile.write(page)
                while endless:
                    self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        server.server_close()


def targets_of(port: int) -> dict[str, dict[str, Any]]:
    """Server or job -> what Prometheus says of that target; none before its first scrape."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets?state=active", timeout=10) as answer:
        active = json.load(answer)["data"]["activeTargets"]
    return {one["labels"].get("server", one["scrapePool"]): one for one in active if one["health"] != "unknown"}


def all_of(seen: dict[str, dict[str, Any]], wanted: set[str]) -> dict[str, dict[str, Any]]:
    """What was seen, once everything wanted is in it."""
    return seen if seen.keys() >= wanted else {}


def peak_megabytes(pid: int) -> int:
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert peak
    return int(peak[1]) // 1024


@pytest.mark.alerts
@pytest.mark.timeout(300)
def test_a_page_without_measure_is_refused_and_the_others_are_scraped(tools: Tools, tmp_path: Path) -> None:
    with ExitStack() as stack:
        honest = stack.enter_context(serve(World("up 1\n")))
        evil = {kind: stack.enter_context(hostile(page, endless)) for kind, (page, endless, _) in HOSTILE.items()}
        own = free_port()
        config = copy_prometheus(tmp_path, honest, own, free_port())
        listed = [{"targets": [f"127.0.0.1:{port}"], "labels": {"server": kind}} for kind, (port, _) in evil.items()]
        (config.parent / "targets" / "vllm.json").write_text(json.dumps(listed))
        command = [
            tools.prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{own}",
        ]
        pid = stack.enter_context(run_program(command, tmp_path / "prometheus.log", own))
        wait_for(lambda: all(len(asked) > SCRAPES for _, asked in evil.values()), "scrapes of each hostile page")
        seen = wait_for(lambda: all_of(targets_of(own), {*HOSTILE, "exporter"}), "all targets")
        assert seen["exporter"]["health"] == "up"
        for kind, (_, _, error) in HOSTILE.items():
            assert seen[kind]["health"] == "down"
            assert error in seen[kind]["lastError"]
        assert peak_megabytes(pid) < MEGABYTES


def test_every_job_has_every_limit() -> None:
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    kinds = ("body_size", "sample", "label", "label_name_length", "label_value_length")
    missing = [(job["job_name"], kind) for job in jobs for kind in kinds if not job.get(f"{kind}_limit")]
    assert missing == []
