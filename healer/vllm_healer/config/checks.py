"""Checks of single configured values: addresses, URLs, files with secrets. Messages begin with `where` it was set."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from urllib.parse import urlsplit

from vllm_healer.errors import ConfigError
from vllm_healer.secret_mode import exposed
from vllm_healer.trust import distrust_file, trusted_users


def server_name(address: str, hostname: str) -> str:
    """The value of the label `server`: the address, with a loopback host replaced by this host's name."""
    host, _, port = address.rpartition(":")
    return f"{hostname}:{port}" if _is_loopback(host) else address


def check_address(address: str, where: str) -> str:
    """The address as it was written. It must be host:port or [IPv6]:port."""
    host, _, port = address.rpartition(":")
    if not host or re.search(r"[\s/@?#]", host) or (":" in host and not re.fullmatch(r"\[[0-9A-Fa-f:.%]+\]", host)):
        raise ConfigError(f"{where} {address!r} is not host:port; write it like gpu1:8000, without scheme or path")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ConfigError(f"{where} {address!r} has the port {port!r}; a port is a number from 1 to 65535")
    return address


def check_url(url: str, where: str) -> str:
    """The URL without the slash at its end. It must be http or https and name a host."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        good = False
    if not good or re.search(r"\s", url):
        raise ConfigError(f"{where} {url!r} is not a URL; write http://host:port")
    if "@" in parts.netloc:  # a URL is repeated in messages and in the journal, so it is not shown here either
        raise ConfigError(f"{where} holds a user or a password; a URL is written to logs, so leave them out")
    if "?" in url or "#" in url:  # as a browser shows it; nor may a key in it get into messages
        raise ConfigError(f"{where} has something behind ? or #; write only http://host:port, and a path if it has one")
    return url.rstrip("/")


def check_trusted(path: Path, owners: frozenset[int] = frozenset()) -> None:
    """Raises ConfigError when others than root, this user and `owners` may change what the file says."""
    problem = distrust_file(path, trusted_users() | owners)
    if problem:
        raise ConfigError(f"{problem}: whoever may write it decides what the healer restarts")


def check_secret(path: str, where: str) -> str:
    """The path of a secret. The file must exist and be closed to others: whoever reads it can restart servers."""
    if not path:
        return path
    try:
        mode, problem = os.stat(path).st_mode, exposed(path)
    except OSError as error:
        raise ConfigError(f"{where} {path}: {error.strerror}; create it, or remove the setting") from None
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{where} {path} is not a file")
    if problem:
        raise ConfigError(f"{where} {path} {problem}")
    return path


def _is_loopback(host: str) -> bool:
    return host.lower() in ("localhost", "::1", "[::1]") or host.startswith("127.")
