from __future__ import annotations

import gzip
import json

from tests.exporter.fakes import FakeClock
from vllm_exporter.clock import Clock
from vllm_exporter.config.config import Config, TargetConfig
from vllm_exporter.facts.events import Bus
from vllm_exporter.facts.facts import ServerSight, Sights
from vllm_exporter.facts.latest import Board
from vllm_exporter.metrics.gzip import Piece
from vllm_exporter.metrics.render import Format
from vllm_exporter.run.runner import View
from vllm_exporter.web.http1 import Request
from vllm_exporter.web.pages import Recent, answer

RAN = View("system", "ok", "", 0.0021, None, 1.0, 0, 0.0, 1.0)
FAILED = View("probe", "failed", "<b> & co", 0.5, None, None, 3, 0.0, 1.0)
NOT_RUN = View("gpu", "not_run", "", 0.0, None, None, 0, 0.0, 1.0)


class FakeSite:
    def __init__(self, *views: View, targets: tuple[TargetConfig, ...] = ()) -> None:
        self.config = Config(targets=targets)
        self.clock: Clock = FakeClock()
        self.board = Board(self.clock)
        self.recent = Recent(Bus(self.clock).subscribe())
        self._views = views

    def metrics(self, text_format: Format) -> list[Piece]:
        return [Piece(b"vllm_test_up"), Piece(b" 1\n")]

    def views(self) -> tuple[View, ...]:
        return self._views


def test_serves_the_metrics_as_text() -> None:
    response = answer(Request("GET", "/metrics"), FakeSite())
    assert (response.status, response.body) == (200, b"vllm_test_up 1\n")
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert "Content-Encoding" not in dict(response.headers)


def test_compresses_the_metrics_for_who_accepts_it() -> None:
    response = answer(Request("GET", "/metrics", {"accept-encoding": "gzip"}), FakeSite())
    assert dict(response.headers) == {"Content-Encoding": "gzip", "Vary": "Accept, Accept-Encoding"}
    assert gzip.decompress(response.body) == b"vllm_test_up 1\n"


def test_a_page_that_is_not_there_names_those_that_are() -> None:
    response = answer(Request("GET", "/metric"), FakeSite())
    assert response.status == 404
    assert response.body == b"no page /metric; there are /, /metrics, /health, /-/healthy, /-/ready\n"


def test_tells_the_health_of_everything_to_programs_and_people() -> None:
    site = FakeSite(RAN, targets=(TargetConfig("a:1", "a:1"),))
    site.board.post(Sights({"a:1": ServerSight("503")}))
    response = answer(Request("GET", "/health"), site)
    assert (response.status, response.content_type) == (200, "application/json")
    said = json.loads(response.body)
    assert set(said) == {"stats", "summary"}
    assert (said["stats"]["servers"][0]["health"], said["stats"]["timestamp"]) == ("503", site.clock.wall())
    assert said["summary"].startswith("=== vLLM Health Stats @ ")


def test_only_get_and_head_are_allowed() -> None:
    response = answer(Request("POST", "/metrics"), FakeSite())
    assert (response.status, response.headers) == (405, (("Allow", "GET, HEAD"),))
    assert answer(Request("HEAD", "/metrics"), FakeSite()).status == 200


def test_is_healthy_whatever_the_collectors_do() -> None:
    assert answer(Request("GET", "/-/healthy"), FakeSite(FAILED, NOT_RUN)).status == 200


def test_is_ready_when_each_collector_has_run_well_or_not() -> None:
    assert answer(Request("GET", "/-/ready"), FakeSite(RAN, FAILED)).status == 200


def test_is_not_ready_before_and_names_those_that_have_not() -> None:
    response = answer(Request("GET", "/-/ready"), FakeSite(RAN, NOT_RUN))
    assert response.status == 503
    assert response.body == b"not ready: waiting for the first run of gpu\n"


def test_the_landing_page_shows_servers_and_collectors_escaped() -> None:
    response = answer(Request("GET", "/"), FakeSite(RAN, FAILED, targets=(TargetConfig("a:1", "a:1"),)))
    page = response.body.decode()
    assert response.content_type == "text/html; charset=utf-8"
    assert "<li>a:1</li>" in page
    assert "<tr><td>system</td><td>ok</td><td>2.1 ms</td><td>0</td><td></td></tr>" in page
    assert "&lt;b&gt; &amp; co" in page
    assert 'href="/metrics"' in page


def test_the_landing_page_says_how_to_watch_a_server() -> None:
    assert "set VLLM_TARGETS=host:port" in answer(Request("GET", "/"), FakeSite()).body.decode()
