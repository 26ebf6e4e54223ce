"""How Prometheus and Alertmanager let the healer in: with names, tokens and tenants from files."""

from __future__ import annotations

import base64
import shutil
import ssl
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vllm_healer.amapi import Alertmanager
from vllm_healer.errors import Blind
from vllm_healer.net.http_config import Authorization, BasicAuth, HttpConfig, HttpHeader, TlsConfig
from vllm_healer.promapi import Prometheus

QUERY, ALERTS = "/api/v1/query", "/api/v2/alerts"
NOTHING = b'{"status": "success", "data": {"resultType": "vector", "result": []}}'


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("sésame\n")
    return path


def let_in(server: Any, http: ModuleType, header: str, wanted: str) -> None:
    """The server answers who sends that header, and 401 to all others."""

    def reply(request: Any) -> Any:
        if request.headers.get(header) != wanted:
            return http.Reply(401, b"no org id\n")
        return http.Reply(200, b"[]" if request.path.startswith(ALERTS) else NOTHING)

    server.reply = reply


def test_basic_auth_is_sent_to_both(server: Any, http: ModuleType, secret: Path) -> None:
    pair = base64.b64encode("healer:sésame".encode()).decode()
    let_in(server, http, "Authorization", f"Basic {pair}")
    config = HttpConfig(basic_auth=BasicAuth("healer", str(secret)))
    Prometheus(server.url, http_config=config).signals("gpu1:8000", frozenset())
    assert Alertmanager(server.url, http_config=config).active() == ()


def test_a_token_is_read_at_each_use(server: Any, http: ModuleType, secret: Path) -> None:
    api = Alertmanager(server.url, http_config=HttpConfig(authorization=Authorization("Bearer", str(secret))))
    for token in ("first", "second"):
        secret.write_text(f"{token}\n")
        let_in(server, http, "Authorization", f"Bearer {token}")
        assert api.active() == ()


def test_a_tenant_comes_from_the_configuration_or_from_a_file(server: Any, http: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "tenant").write_text("team-a\n")
    let_in(server, http, "X-Scope-OrgID", "team-a")
    for header in (HttpHeader(values=("team-a",)), HttpHeader(files=(str(tmp_path / "tenant"),))):
        config = HttpConfig(http_headers={"X-Scope-OrgID": header})
        assert Alertmanager(server.url, http_config=config).active() == ()


@pytest.mark.parametrize("content", [b"team-a", b" team-a \r\n", b"\xef\xbb\xbfteam-a\r\n\r\n"])
def test_what_an_editor_adds_to_a_secret_is_no_part_of_it(
    server: Any, http: ModuleType, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "tenant").write_bytes(content)
    let_in(server, http, "X-Scope-OrgID", "team-a")
    config = HttpConfig(http_headers={"X-Scope-OrgID": HttpHeader(files=(str(tmp_path / "tenant"),))})
    assert Alertmanager(server.url, http_config=config).active() == ()


def test_nothing_is_sent_where_nothing_is_configured(server: Any) -> None:
    server.say_json(ALERTS, [])
    Alertmanager(server.url).active()
    assert "Authorization" not in server.requests[0].headers


def test_who_is_not_let_in_is_told_which_key_to_look_at(server: Any, http: ModuleType) -> None:
    let_in(server, http, "X-Scope-OrgID", "team-a")
    with pytest.raises(Blind, match=r"answered HTTP 401: 'no org id\\n'; see prometheus_http_config in healer.yml"):
        Prometheus(server.url).signals("gpu1:8000", frozenset())
    with pytest.raises(Blind, match=r"see alertmanager_http_config in healer.yml"):
        Alertmanager(server.url).active()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"credentials_file \S+/secret: No such file or directory"),
        (b"", r"credentials_file \S+/secret is empty"),
        (b"\xff\xfe", r"credentials_file \S+/secret is not UTF-8 text"),
        (b"two\nlines", r"cannot be asked: a header or the host's name holds what HTTP cannot carry"),
        ("d\u00fcr\u2019s".encode(), r"cannot be asked: a header or the host's name holds what HTTP cannot carry"),
    ],
)
def test_a_secret_that_cannot_be_used_is_blindness_and_is_not_shown(
    server: Any, secret: Path, content: bytes | None, message: str
) -> None:
    if content is None:
        secret.unlink()
    else:
        secret.write_bytes(content)
    config = HttpConfig(authorization=Authorization("Bearer", str(secret)))
    with pytest.raises(Blind, match=rf"Alertmanager at {server.url} .*{message}") as caught:
        Alertmanager(server.url, http_config=config).active()
    assert "lines" not in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize("status", [403, 404, 405, 411, 415, 501])
def test_where_post_is_refused_the_query_is_asked_by_get_from_then_on(
    server: Any, http: ModuleType, status: int
) -> None:
    server.reply = lambda request: (
        http.Reply(status, b"Forbidden (verb=create)") if request.method == "POST" else http.Reply(200, NOTHING)
    )
    prometheus = Prometheus(server.url)
    prometheus.signals("gpu1:8000", frozenset())
    prometheus.signals("gpu1:8000", frozenset())
    assert [request.method for request in server.requests] == ["POST", "GET", "GET"]
    assert server.paths()[1].startswith(f"{QUERY}?query=label_replace%28")


def test_what_refuses_both_is_asked_by_both_again(server: Any, http: ModuleType) -> None:
    server.say(QUERY, http.Reply(403, b"no"))
    prometheus = Prometheus(server.url)
    for _ in range(2):
        with pytest.raises(Blind, match="HTTP 403"):
            prometheus.signals("gpu1:8000", frozenset())
    assert [request.method for request in server.requests] == ["POST", "GET", "POST", "GET"]


@pytest.mark.parametrize("status", [400, 401, 422, 500, 502, 503])
def test_an_error_is_not_asked_about_again(server: Any, http: ModuleType, status: int) -> None:
    server.say(QUERY, http.Reply(status, b"no"))
    with pytest.raises(Blind, match=f"HTTP {status}"):
        Prometheus(server.url).signals("gpu1:8000", frozenset())
    assert [request.method for request in server.requests] == ["POST"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_an_authority_of_ones_own_is_trusted_and_no_other(server: Any, tmp_path: Path) -> None:
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "ca.pem")]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make.split(), *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    server.running.socket = context.wrap_socket(server.running.socket, server_side=True)
    server.say_json(ALERTS, [])
    url = server.url.replace("http://", "https://")
    trusting = HttpConfig(tls_config=TlsConfig(str(tmp_path / "ca.pem")))
    assert Alertmanager(url, http_config=trusting).active() == ()
    with pytest.raises(Blind, match="CERTIFICATE_VERIFY_FAILED"):
        Alertmanager(url).active()
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(Blind, match=r"ca_file \S+/ca.pem cannot be used: No such file or directory"):
        Alertmanager(url, http_config=trusting).active()
