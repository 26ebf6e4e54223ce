"""Waitress around the application: bounded threads, connections and bodies."""

from __future__ import annotations

import json
import socket
from typing import Any, cast

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask
from waitress.utilities import RequestEntityTooLarge

from vllm_healer.errors import ConfigError
from vllm_healer.web.app import EXTENSION, too_large
from vllm_healer.web.routes import WEBHOOK

# Requests wait for the journal's fsync, not for the CPU; those that wait together share one.
THREADS = 16
CONNECTIONS = 100  # Alertmanager opens one per group that it notifies
IDLE_SECONDS = 30  # a connection that says nothing makes room for others


def make_server(app: Flask, host: str, port: int) -> BaseWSGIServer:
    """Makes a server that listens; `run` answers until SystemExit or KeyboardInterrupt. Port 0 takes a free one, see
    its `effective_port`. Raises ConfigError when the address cannot be had."""
    limits: dict[str, Any] = {
        "threads": THREADS,
        "connection_limit": CONNECTIONS,
        "channel_timeout": IDLE_SECONDS,
        "max_request_body_size": app.config["MAX_CONTENT_LENGTH"] + 1,  # waitress refuses what is not below
        "asyncore_use_poll": True,  # select() ends at 1024 open files of the whole process
    }
    server = cast(BaseWSGIServer, create_server(app, sockets=[_listen(host, port)], ident=None, **limits))
    server.channel_class = _channel_class(app)
    return server


def _listen(host: str, port: int) -> socket.socket:
    """Listens on the first address of the name, so that `localhost` is one socket."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --listen") from None
    return listener


def _channel_class(app: Flask) -> type[HTTPChannel]:
    """Makes a channel that counts and explains a body that is too large: waitress refuses it before the application."""

    class TooLargeTask(ErrorTask):
        def execute(self) -> None:
            request = cast(HTTPRequestParser, self.request)  # the types of waitress say otherwise
            if not isinstance(request.error, RequestEntityTooLarge):
                super().execute()
                return
            if getattr(request, "path", "") == WEBHOOK:  # unset where the headers could not be read
                app.extensions[EXTENSION].metrics.webhook_requests.labels(code="413").inc()
            error, fix = too_large(app)
            body = json.dumps({"error": error, "fix": fix}).encode()
            self.status = "413 Request Entity Too Large"
            self.response_headers = [("Content-Type", "application/json")]
            self.set_close_on_finish()
            self.content_length = len(body)
            self.write(body)

    class Channel(HTTPChannel):
        error_task_class = TooLargeTask

    return Channel
