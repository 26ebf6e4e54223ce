"""The boards go into a Grafana that runs already: once, again, and not to a stranger."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy.errors import NativeError
from deploy.native.grafana import Grafana, publish
from deploy.native.layout import Layout

ROOT = Path(__file__).resolve().parents[2]


class FakeGrafana(HTTPServer):
    """Remembers what it was asked, and answers as Grafana's API does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.bodies: dict[str, dict[str, object]] = {}
        self.sources: set[str] = set()
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: FakeGrafana

    def log_message(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        here = self.server
        here.asked.append((self.command, self.path))
        here.tokens.add(str(self.headers["Authorization"]))
        here.bodies[self.path] = body
        self.send_response(here.status if here.status != 200 else self.status(body))
        if here.status == 302:
            self.send_header("Location", "http://127.0.0.1:1/login")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def status(self, body: dict[str, object]) -> int:
        sources = self.server.sources
        if self.command == "PUT" and self.path.rpartition("/")[2] not in sources:
            return 404
        if self.path == "/api/datasources":
            sources.add(str(body["uid"]))
        return 412 if self.path == "/api/folders" and self.server.asked.count(("POST", self.path)) > 1 else 200

    do_POST = do_PUT = answer  # noqa: N815


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    server = FakeGrafana()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "prometheus_password").write_text("open sesame\n")
    (tmp_path / "token").write_text("glsa_1\n")
    for secret in (tmp_path / "secrets" / "prometheus_password", tmp_path / "token"):
        secret.chmod(0o600)
    return Layout(ROOT, tmp_path, tmp_path / ".env")


def test_boards_and_data_source_are_uploaded_and_again_without_a_difference(
    grafana: FakeGrafana, layout: Layout
) -> None:
    boards = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
    for _ in range(2):
        said = publish(Grafana(grafana.url, layout.run / "token"), layout, 9090)
        assert said == f"{grafana.url}/d/vllm-monitor-overview ({len(boards)} boards)"
    assert grafana.asked.count(("POST", "/api/datasources")) == 1
    assert grafana.asked.count(("POST", "/api/dashboards/db")) == 2 * len(boards)
    assert grafana.tokens == {"Bearer glsa_1"}
    source = grafana.bodies["/api/datasources/uid/vllm-monitor-prometheus"]
    assert (source["url"], source["secureJsonData"]) == ("http://127.0.0.1:9090", {"basicAuthPassword": "open sesame"})
    board = grafana.bodies["/api/dashboards/db"]
    assert (board["overwrite"], board["folderUid"]) == (True, "vllm-monitor")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "answers 401 to PUT .*: the token in GRAFANA_TOKEN_FILE is not one of its own"),
        (403, "needs the role Editor"),
        (302, "write the address that it redirects to into GRAFANA_URL"),
        (500, "answers 500"),
    ],
)
def test_a_grafana_that_refuses_is_named_with_what_helps(
    grafana: FakeGrafana, layout: Layout, status: int, words: str
) -> None:
    grafana.status = status
    with pytest.raises(NativeError, match=words):
        publish(Grafana(grafana.url, layout.run / "token"), layout, 9090)


def test_a_board_that_another_provides_is_not_overwritten_in_silence(grafana: FakeGrafana, layout: Layout) -> None:
    grafana.status = 412
    with pytest.raises(NativeError, match="another source provides that board"):
        publish(Grafana(grafana.url, layout.run / "token"), layout, 9090)


def test_a_grafana_that_is_not_there_is_named(layout: Layout) -> None:
    with pytest.raises(NativeError, match=r"Grafana at http://127\.0\.0\.1:1 does not answer: Connection refused"):
        publish(Grafana("http://127.0.0.1:1", layout.run / "token"), layout, 9090)
