"""Credentials and headers for Prometheus and Alertmanager, in the words of Prometheus' own http_config.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#http_config
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vllm_healer.errors import Blind

MAX_SECRET = 64 * 1024  # bytes; no server takes longer headers


@dataclass(frozen=True)
class BasicAuth:
    username: str
    password_file: str


@dataclass(frozen=True)
class Authorization:
    """The header Authorization: a type, mostly Bearer, and what is in the file."""

    type: str
    credentials_file: str


@dataclass(frozen=True)
class HttpHeader:
    """One header; it is sent once for each value and once for each file."""

    values: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class TlsConfig:
    ca_file: str = ""  # '': the well-known authorities


@dataclass(frozen=True)
class HttpConfig:
    """The settings of what is sent with each request. It holds paths of secrets and never a secret."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    http_headers: Mapping[str, HttpHeader] = field(default_factory=dict)
    tls_config: TlsConfig = TlsConfig()

    def headers(self) -> list[tuple[str, str]]:
        """The headers; files are read at each use, so that what was renewed counts at once. Raises Blind."""
        given = [(name, value) for name, header in self.http_headers.items() for value in header.values]
        for name, header in self.http_headers.items():
            given += [(name, read_secret(path, f"file of {name}")) for path in header.files]
        if self.basic_auth is not None:
            password = read_secret(self.basic_auth.password_file, "password_file")
            pair = f"{self.basic_auth.username}:{password}".encode()
            given.append(("Authorization", f"Basic {base64.b64encode(pair).decode('ascii')}"))
        if self.authorization is not None:
            credentials = read_secret(self.authorization.credentials_file, "credentials_file")
            given.append(("Authorization", f"{self.authorization.type} {credentials}"))
        return given


def read_secret(path: str, what: str) -> str:
    """The text of a file without the space around it. Raises Blind, which names file and use and repeats no content."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_SECRET).decode("utf-8-sig").strip()
    except OSError as error:
        raise Blind(f"{what} {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Blind(f"{what} {path} is not UTF-8 text") from None
    if not text:
        raise Blind(f"{what} {path} is empty")
    return text
