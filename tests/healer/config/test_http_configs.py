"""prometheus_http_config and alertmanager_http_config: what they take, and what they refuse with the fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vllm_healer.config import Config, load
from vllm_healer.errors import ConfigError
from vllm_healer.net.http_config import Authorization, BasicAuth, HttpConfig, HttpHeader, TlsConfig


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Config]:
    """Loads that text as healer.yml; beside it lie `secret`, `open` (to every user) and `ca.pem`."""

    def loaded(text: str) -> Config:
        for name, mode in (("secret", 0o600), ("open", 0o666), ("ca.pem", 0o644)):
            (tmp_path / name).write_text("sesame\n")
            (tmp_path / name).chmod(mode)
        (tmp_path / "healer.yml").write_text(text)
        return load(tmp_path / "healer.yml", {}, {}, hostname="gpu1")

    return loaded


def test_reads_each_way_to_be_let_in_with_paths_from_the_files_directory(
    read: Callable[[str], Config], tmp_path: Path
) -> None:
    config = read("""\
prometheus_http_config:
  basic_auth: {username: healer, password_file: secret}
  http_headers:
    X-Scope-OrgID: {values: [team-a, 7], files: [secret]}
  tls_config: {ca_file: ca.pem}
alertmanager_http_config: {authorization: {credentials_file: secret}}
""")
    secret = str(tmp_path / "secret")
    assert config.prometheus_http_config == HttpConfig(
        basic_auth=BasicAuth("healer", secret),
        http_headers={"X-Scope-OrgID": HttpHeader(("team-a", "7"), (secret,))},
        tls_config=TlsConfig(str(tmp_path / "ca.pem")),
    )
    assert config.alertmanager_http_config == HttpConfig(authorization=Authorization("Bearer", secret))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "prometheus_http_config:\n",
        "prometheus_http_config: {}\n",
        "prometheus_http_config: {basic_auth: null, authorization: {}, http_headers: , tls_config: {ca_file: ''}}\n",
    ],
)
def test_what_is_empty_sends_nothing(read: Callable[[str], Config], text: str) -> None:
    assert read(text).prometheus_http_config.headers() == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{basic_auth: {username: a}}", r"basic_auth needs username and password_file; add the other one"),
        ("{basic_auth: {username: a, password: b}}", r"unknown key 'password' in basic_auth; known: password_file, us"),
        ("{basic_auth: {username: 'a:b', password_file: secret}}", r"username 'a:b' holds a colon"),
        (
            "{basic_auth: {username: a, password_file: open}}",
            r"password_file \S+/open is open to every user .*chmod 600",
        ),
        ("{basic_auth: {username: a, password_file: none}}", r"password_file \S+/none: No such file"),
        (
            "{basic_auth: {username: a, password_file: secret}, authorization: {credentials_file: secret}}",
            r"prometheus_http_config has both basic_auth and authorization; remove one",
        ),
        ("{authorization: {type: Bearer}}", r"authorization needs credentials_file, the file that holds the token"),
        ("{authorization: {credentials: abc}}", r"unknown key 'credentials' in authorization; known: credentials_file"),
        ("{authorization: {type: Basic, credentials_file: secret}}", r"for a name and a password write basic_auth"),
        ("{authorization: {type: 'a b', credentials_file: secret}}", r"cannot have the type 'a b'; write Bearer"),
        (
            "{http_headers: {Authorization: {values: [a]}}}",
            r"the header Authorization cannot be set here; write authori",
        ),
        ("{http_headers: {host: {values: [a]}}}", r"the header host cannot be set here; remove it"),
        ("{http_headers: {'X Y': {values: [a]}}}", r"'X Y' is no name of a header"),
        ("{http_headers: {X-Y: {}}}", r"the header X-Y has no value; write values: \[text\] or files: \[path\]"),
        ("{http_headers: {X-Y: {values: a}}}", r"values must be a list, not 'a'"),
        (
            '{http_headers: {X-Y: {values: ["a\\nb"]}}}',
            r"a value of X-Y must be printable ASCII; for other text use fi",
        ),
        ("{http_headers: {X-Y: {secrets: [a]}}}", r"unknown key 'secrets' in the header X-Y; known: files, values"),
        ("{http_headers: {X-Y: {files: [open]}}}", r"file of X-Y \S+/open is open to every user"),
        ("{http_headers: [a]}", r"http_headers must be keys with values, not a list"),
        ("{tls_config: {ca_file: none}}", r"ca_file \S+/none is not there or cannot be read"),
        (
            "{tls_config: {insecure_skip_verify: true}}",
            r"unknown key 'insecure_skip_verify' in tls_config; known: ca_f",
        ),
        (
            "{bearer_token_file: secret}",
            r"unknown key 'bearer_token_file' in prometheus_http_config; known: authorizat",
        ),
        ("yes", r"prometheus_http_config must be keys with values, not True; write key: value"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_fix(read: Callable[[str], Config], given: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"healer.yml line 1.*{message}"):
        read(f"prometheus_http_config: {given}\n")


def test_a_password_in_a_url_is_refused_and_not_repeated(read: Callable[[str], Config]) -> None:
    with pytest.raises(ConfigError, match="holds a user or a password") as caught:
        read("prometheus_url: http://healer:sesame@127.0.0.1:9090\n")
    assert "sesame" not in str(caught.value)
