"""Waitress around the application: bounded threads, connections and bodies. It waits for no client.

Whatever comes is accepted at once. When all connections are in use, the client that has been waited for longest makes
room for a new one. Webhooks have threads of their own, and those that would wait too long for them are told to come
again, so that health, metrics and pause are answered whatever Alertmanager does.
"""

from __future__ import annotations

import logging
import resource
import socket
import time
from heapq import nsmallest
from typing import Any

from flask import Flask
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from vllm_healer.errors import ConfigError
from vllm_healer.web.app import door_of
from vllm_healer.web.channel import Channel
from vllm_healer.web.door import Denial, is_webhook

log = logging.getLogger(__name__)

# Webhooks that wait together share the journal's fsync: with two threads a disk that takes 10 ms for it takes 200 of
# them a second at most. More threads would take the CPU from the one that reads all connections.
WEBHOOK_THREADS = 16
THREADS = 4  # for all other paths
# Alertmanager opens one per group that it notifies, and keeps it. So many, and few enough in a round, give a
# client some tenths of a second to say what it wants, however many come after it.
CONNECTIONS = 2000
WAITING = 160  # webhooks that wait for a thread; one takes milliseconds
IDLE_SECONDS = 30.0  # for a whole request to arrive, and between two requests
HEADER_BYTES = 16 * 1024  # of one request; those of Alertmanager and browsers are below 2 KiB
TURNS = 64  # kept connections that are read in one round; new ones, of which one may be a person's, always are
BACKLOG = 4096  # connections that the kernel holds for us; net.core.somaxconn may allow fewer
ACCEPTS = 256  # connections taken in one round, in which all that have sent something are read


class Server(TcpWSGIServer):
    """Answers until SystemExit or KeyboardInterrupt."""

    effective_port: str  # the types of waitress do not say so of these, as of tasks
    active_channels: Any
    _map: Any
    turns = TURNS  # left in this round

    def __init__(self, app: Flask, listener: socket.socket) -> None:
        limits: dict[str, Any] = {
            "connection_limit": 2**31,  # ours is below
            "max_request_header_size": HEADER_BYTES,
            "max_request_body_size": app.config["MAX_CONTENT_LENGTH"] + 1,  # waitress refuses what is not below
            "asyncore_use_poll": True,  # select() ends at 1024 open files of the whole process
            "backlog": BACKLOG,
            "ident": None,
        }
        address = (listener.family, listener.type, listener.proto, listener.getsockname())
        self.webhooks = _dispatcher(WEBHOOK_THREADS)
        self.door = door_of(app)
        self._most = min(CONNECTIONS, allow_files() // 2)
        super().__init__(
            app,
            {},
            _sock=listener,
            dispatcher=_dispatcher(THREADS),
            adj=Adjustments(**limits),
            sockinfo=address,
            bind_socket=False,
        )

    def add_task(self, task: Any) -> None:
        """Gives a complete request to a thread."""
        request = task.requests[0]
        if isinstance(request.error, Denial):
            task.refuse(request.error, close=True)
        elif request.error or not is_webhook(request.path):
            self.task_dispatcher.add_task(task)
        elif len(self.webhooks.queue) >= WAITING:
            self.door.note(request.path, self.door.busy(), str(task.addr[0]))
            task.refuse(self.door.busy(), close=request.connection_close)
        else:
            self.webhooks.add_task(task)

    def readable(self) -> bool:
        """Is asked in each round before sockets are looked at: here connections may be closed."""
        self._close_overdue(time.monotonic() - IDLE_SECONDS)
        self._make_room(len(self.active_channels) - self._most)
        self.turns = TURNS
        return bool(self.accepting)

    def handle_accept(self) -> None:
        for _ in range(ACCEPTS):
            try:
                accepted = self.accept()
            except OSError as error:  # no file descriptors or memory left
                log.error("cannot take a connection: %s; closing the one that was waited for longest", error.strerror)
                self._make_room(1)
                time.sleep(0.05)  # the listener stays readable: without a pause this would take a whole CPU
                return
            if accepted is None:
                return
            Channel(self, *accepted, self.adj, map=self._map)

    def run(self) -> None:
        super().run()
        self.shut_down()

    def shut_down(self) -> None:
        """Ends the threads. What they have begun is finished."""
        self.task_dispatcher.shutdown()
        self.webhooks.shutdown()

    def _close_overdue(self, since: float) -> None:
        for channel in self._idle():
            if channel.waits_since < since:
                channel.handle_close()

    def _make_room(self, excess: int) -> None:
        """Closes those waited for longest; one that still takes its answer comes last."""
        if excess > 0:
            for channel in nsmallest(excess, self._idle(), key=_patience):
                channel.handle_close()

    def _idle(self) -> list[Any]:
        return [channel for channel in self.active_channels.values() if not channel.requests]


def allow_files() -> int:
    """Raises the soft limit of open files, often 1024 for the sake of select(), to the hard one, and returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 2**20


def _patience(channel: Any) -> tuple[bool, float]:
    """The smaller, the sooner it makes room."""
    return channel.total_outbufs_len > 0, channel.waits_since


def make_server(app: Flask, host: str, port: int) -> Server:
    """Makes a server that listens; `run` answers until SystemExit or KeyboardInterrupt. Port 0 takes a free one, see
    its `effective_port`. Raises ConfigError when the address cannot be had."""
    return Server(app, _listen(host, port))


def _dispatcher(threads: int) -> ThreadedTaskDispatcher:
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(threads)
    return dispatcher


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
