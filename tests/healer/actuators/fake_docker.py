"""Docker's Engine API over a real unix socket: one container that can be looked at, stopped and started."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from vllm_healer.model import Target

PATH = re.compile(r"/v(?P<version>1\.\d+)/containers/(?P<name>[^/?]+)/(?P<verb>json|stop|start)(\?t=\d+)?")


@dataclass
class Engine:
    """What is asked is in `requests`; `refuse` answers a verb with a status and a message instead of doing it."""

    path: Path
    version: str = "1.44"
    name: str = "vllm"
    status: str = "running"
    starts: int = 1
    policy: str = "unless-stopped"
    state: dict[str, Any] = field(default_factory=dict)  # over what follows from the others
    retries: int = 0
    restarts: int = 0
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)  # verb -> what happens just before it
    requests: list[str] = field(default_factory=list)
    host: dict[str, Any] = field(default_factory=dict)  # of HostConfig, beside the policy
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        options = {"socket": f"unix://{self.path}", "container": self.name}
        return Target("gpu1:8000", "http://127.0.0.1:1", "default", "docker", options)

    @property
    def verbs(self) -> list[str]:
        """Of the commands, in order."""
        return [line.rpartition("/")[2] for line in self.requests if line.startswith("POST")]

    def key(self, start: int) -> str:
        return f"{'c0ffee' * 10}/2026-01-01T00:00:{start:02d}.123456789Z"

    def answer(self, method: str, path: str) -> tuple[int, object]:
        match = PATH.fullmatch(path)
        if match is None or (match["verb"] == "json") != (method == "GET"):
            return 404, {"message": "page not found"}
        if match["version"] != self.version:
            return 400, {"message": f"client version {match['version']} does not fit {self.version}"}
        self.requests.append(f"{method} {path}")
        if match["name"] != self.name:
            return 404, {"message": f"No such container: {match['name']}"}
        self.before.get(match["verb"], lambda: None)()
        if match["verb"] in self.refuse:
            status, message = self.refuse[match["verb"]]
            return status, {"message": message}
        return self._do(match["verb"])

    def _do(self, verb: str) -> tuple[int, object]:
        if verb == "json":
            return 200, self._describe()
        if (verb == "start") == (self.status == "running"):
            return 304, None
        self.status = "running" if verb == "start" else "exited"
        self.starts += verb == "start"
        return 204, None

    def _describe(self) -> dict[str, Any]:
        running = self.status == "running"
        state = {
            "Status": self.status,
            "Pid": 4000 + self.starts if running else 0,
            "ExitCode": 0 if running else 137,
            "OOMKilled": False,
            "Error": "",
            "StartedAt": self.key(self.starts).partition("/")[2],
        }
        policy = {"Name": self.policy, "MaximumRetryCount": self.retries}
        return {
            "Id": "c0ffee" * 10,
            "State": state | self.state,
            "RestartCount": self.restarts,
            "HostConfig": {"RestartPolicy": policy, **self.host},
            "Config": {"Labels": self.labels},
        }


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def serve(engine: Engine) -> Server:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(*engine.answer("GET", self.path))

        def do_POST(self) -> None:
            self._reply(*engine.answer("POST", self.path))

        def _reply(self, status: int, answer: object) -> None:
            body = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Api-Version", engine.version)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def address_string(self) -> str:
            return "a unix socket"

    server = Server(str(engine.path), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server
