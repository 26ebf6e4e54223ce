"""Reads prometheus_http_config and alertmanager_http_config: with what they let the healer in."""

from __future__ import annotations

import re
from pathlib import Path

from vllm_healer.config.paths import readable_path, secret_path
from vllm_healer.config.yaml_lines import Value
from vllm_healer.errors import ConfigError
from vllm_healer.net.http_config import Authorization, BasicAuth, HttpConfig, HttpHeader, TlsConfig

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a header's name, an authorization's type: RFC 9110, 5.6.2
# Each has a key of its own, or is the healer's to write.
RESERVED = (
    *("authorization", "host", "connection", "content-length", "content-type"),
    *("transfer-encoding", "content-encoding", "accept-encoding", "user-agent"),
)


def read_http_config(value: Value, key: str, base: Path) -> HttpConfig:
    """The settings below `key`; relative paths start from `base`. Raises ConfigError with the line and the fix."""
    given = value.section(HttpConfig.__dataclass_fields__, key)
    basic_auth, authorization = _basic_auth(given["basic_auth"], base), _authorization(given["authorization"], base)
    if basic_auth is not None and authorization is not None:
        where = given["authorization"].where
        raise ConfigError(f"{where}: {key} has both basic_auth and authorization; remove one")
    return HttpConfig(
        basic_auth=basic_auth,
        authorization=authorization,
        http_headers=_headers(given["http_headers"], base),
        tls_config=_tls_config(given["tls_config"], base),
    )


def _basic_auth(value: Value, base: Path) -> BasicAuth | None:
    given = value.section(BasicAuth.__dataclass_fields__, "basic_auth")
    username = given["username"].scalar("username")
    password_file = secret_path(given["password_file"], "password_file", base)
    if not username and not password_file:
        return None
    if not username or not password_file:
        raise ConfigError(f"{value.where}: basic_auth needs username and password_file; add the other one")
    if ":" in username:
        raise ConfigError(f"{given['username'].where}: username {username!r} holds a colon, which ends it in HTTP")
    return BasicAuth(username, password_file)


def _authorization(value: Value, base: Path) -> Authorization | None:
    given = value.section(Authorization.__dataclass_fields__, "authorization")
    kind = given["type"].scalar("type", "Bearer")
    credentials_file = secret_path(given["credentials_file"], "credentials_file", base)
    if not credentials_file:
        if value.data:
            raise ConfigError(f"{value.where}: authorization needs credentials_file, the file that holds the token")
        return None
    if kind.lower() == "basic" or not TOKEN.fullmatch(kind):
        fix = "for a name and a password write basic_auth" if kind.lower() == "basic" else "write Bearer"
        raise ConfigError(f"{given['type'].where}: authorization cannot have the type {kind!r}; {fix}")
    return Authorization(kind, credentials_file)


def _headers(value: Value, base: Path) -> dict[str, HttpHeader]:
    """The headers by name; any name is known but those that HTTP or another key needs."""
    names = value.data if isinstance(value.data, dict) else {}
    return {name: _header(name, header, base) for name, header in value.mapping(names, "http_headers").items()}


def _header(name: str, value: Value, base: Path) -> HttpHeader:
    if not TOKEN.fullmatch(name):
        raise ConfigError(f"{value.where}: {name!r} is no name of a header")
    if name.lower() in RESERVED:
        fix = "write authorization or basic_auth" if name.lower() == "authorization" else "remove it"
        raise ConfigError(f"{value.where}: the header {name} cannot be set here; {fix}")
    given = value.section(HttpHeader.__dataclass_fields__, f"the header {name}")
    values = tuple(_header_value(item, name) for item in given["values"].items("values"))
    files = tuple(secret_path(item, f"file of {name}", base) for item in given["files"].items("files"))
    if not (values or files) or "" in files:
        raise ConfigError(f"{value.where}: the header {name} has no value; write values: [text] or files: [path]")
    return HttpHeader(values, files)


def _header_value(item: Value, name: str) -> str:
    text = item.scalar(f"a value of {name}")
    if not text or not re.fullmatch(r"[\x21-\x7e](?:[ \t\x21-\x7e]*[\x21-\x7e])?", text):
        raise ConfigError(f"{item.where}: a value of {name} must be printable ASCII; for other text use files")
    return text


def _tls_config(value: Value, base: Path) -> TlsConfig:
    given = value.section(TlsConfig.__dataclass_fields__, "tls_config")
    return TlsConfig(readable_path(given["ca_file"], "ca_file", base))
