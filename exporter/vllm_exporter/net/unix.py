"""Sends one HTTP request over a Unix socket or to host:port: container engines and supervisors listen on either."""

from __future__ import annotations

import socket
import time

from vllm_exporter.config.addresses import split_address
from vllm_exporter.errors import ConfigError
from vllm_exporter.net.http import ClientResponse, Garbled, Origin, Stream, TimedOut, build, read_response, request

PREFIX = "unix://"


def check_place(where: str, what: str) -> None:
    """Raises ConfigError, which begins with `what`, for a place that `call` cannot use."""
    if where.startswith(("/", f"{PREFIX}/")):
        return
    if "@" in where:  # it is repeated in messages, so it is not shown here either
        raise ConfigError(f"{what} holds a user or a password; leave them out, or name the Unix socket")
    address = where.removeprefix("http://").rstrip("/")
    if where.startswith(PREFIX) or "/" in address:
        raise ConfigError(
            f"{what}: {where!r} is not an address; write /path/of/a.sock, unix:///path or http://host:port"
        )
    split_address(address, what, "localhost:9001")


def socket_path(where: str) -> str:
    """Returns the path of the Unix socket; '' for host:port."""
    return where.removeprefix(PREFIX) if where.startswith(("/", PREFIX)) else ""


def call(where: str, method: str, path: str, timeout: float, body: bytes = b"") -> ClientResponse:
    """Sends a request. `where` is a path, unix://path, host:port or http://host:port. Raises RequestFailed."""
    path_of_socket = socket_path(where)
    if not path_of_socket:
        host, _, port = where.removeprefix("http://").rstrip("/").rpartition(":")
        if not port.isdigit():
            raise Garbled(f"{where!r} is neither a path of a Unix socket nor host:port")
        return request(Origin(host.strip("[]"), int(port)), method, path, timeout, body)
    deadline = time.monotonic() + timeout
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(path_of_socket)
            connection.sendall(build(method, path, "localhost", {}, body))
            return read_response(Stream(connection, deadline))
    except TimeoutError:
        raise TimedOut(f"{where}: no answer within {timeout:g} s") from None
    except OSError as error:
        raise Garbled(f"{where}: {error.strerror or error}") from None
