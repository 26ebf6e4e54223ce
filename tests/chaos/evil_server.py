"""A vLLM server that is hostile, broken, or not vLLM any more, in one of its MODES; `good` is an honest one."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

OK = b"HTTP/1.1 200 OK\r\n"
HONEST = b'# T\nvllm:num_requests_running{engine="0"} 0.0\nvllm:num_requests_waiting{engine="0"} 0.0\n# e\n'
DEEP = b"[" * 900_000
CANARY = b'{"choices":[{"text":"."}]}'
PAUSE = 1.0  # seconds between two bytes of a server that trickles

Answer = Callable[[socket.socket, str], None]


def plain(client: socket.socket, body: bytes, *headers: bytes) -> None:
    head = b"".join(header + b"\r\n" for header in headers)
    client.sendall(OK + head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def good(client: socket.socket, path: str) -> None:
    bodies = {"/metrics": HONEST, "/v1/models": b'{"data":[{"id":"m"}]}', "/is_paused": b'{"is_paused":false}'}
    plain(client, b"" if path == "/health" else bodies.get(path, CANARY))


def on(attacked: str, attack: Callable[[socket.socket], None]) -> Answer:
    """Honest but for one path; `*` stands for every path but /health."""

    def answer(client: socket.socket, path: str) -> None:
        if path == attacked or (attacked == "*" and path != "/health"):
            attack(client)
        else:
            good(client, path)

    return answer


def page(body: bytes, *headers: bytes) -> Callable[[socket.socket], None]:
    return lambda client: plain(client, body, *headers)


def endless(client: socket.socket) -> None:
    client.sendall(OK + b"\r\n")
    while True:
        client.sendall(b"vllm:x 1\n" * 8192)


def endless_headers(client: socket.socket) -> None:
    client.sendall(OK)
    while True:
        client.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")


def drip(client: socket.socket) -> None:
    client.sendall(OK + b"Content-Length: 1000000\r\n\r\n")
    trickle(client)


def drip_headers(client: socket.socket) -> None:
    client.sendall(OK + b"X-Slow: ")
    trickle(client)


def trickle(client: socket.socket) -> None:
    while True:
        client.sendall(b"#")
        time.sleep(PAUSE)


def silent(client: socket.socket) -> None:
    client.recv(1)  # until the other side gives up


def elsewhere(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/latest/meta-data\r\nContent-Length: 0\r\n\r\n")


def of_engines(names: Iterator[bytes]) -> bytes:
    rows = b"".join(b'vllm:num_requests_running{engine="%s"} 1.0\n' % name for name in names)
    return b"# T\n" + rows + b"# e\n"


def packed(megabytes: int) -> bytes:
    """That many megabytes of nothing, in a thousandth of them."""
    return gzip.compress(b"\0" * 1_000_000, 6) * megabytes


MODES: dict[str, Answer] = {
    "endless page": on("/metrics", endless),
    "endless headers": on("/metrics", endless_headers),
    "endless health": on("/health", endless),
    "byte a second": on("/metrics", drip),
    "header byte a second": on("/metrics", drip_headers),
    "health byte a second": on("/health", drip),
    "everything a byte a second": on("*", drip),
    "silent": on("*", silent),
    "gzip bomb": on("/metrics", page(packed(600), b"Content-Encoding: gzip")),
    "150,000 engines": on("/metrics", page(of_engines(b"%d" % n for n in range(150_000)))),
    "label of 900 kB": on("/metrics", page(of_engines(iter([b"1" + b"E" * 900_000])))),
    "number of 5,000 digits": on(
        "/metrics", page(HONEST + b'vllm:cache_config_info{num_gpu_blocks="%s"} 1\n' % (b"9" * 5000))
    ),
    "deep JSON": on("/v1/models", page(DEEP)),
    "deep pause": on("/is_paused", page(DEEP)),
    "model name of 500 kB": on("/v1/models", page(b'{"data":[{"id":"%s\\u001b[31m"}]}' % (b"m" * 500_000))),
    "redirects": on("*", elsewhere),
}


class EvilServer:
    """Listens on a free loopback port from its making on; `seen` counts requests by path."""

    def __init__(self, answer: Answer) -> None:
        self.seen: Counter[str] = Counter()
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, IndexError, ValueError), client:  # whoever asked has given up
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    more = client.recv(65536)
                    if not more:
                        return
                    buffer += more
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
                while len(buffer) < length:
                    buffer += client.recv(65536)
                buffer = buffer[length:]
                path = head.split(b" ")[1].decode().partition("?")[0]
                self.seen[path] += 1
                self._answer(client, path)


@contextlib.contextmanager
def evil_servers() -> Iterator[dict[str, EvilServer]]:
    """One in each mode, by the mode's name."""
    servers = {name: EvilServer(answer) for name, answer in MODES.items()}
    try:
        yield servers
    finally:
        for server in servers.values():
            server.close()
