"""Asks Alertmanager by its HTTP API, with the password. Needs no package but Python's own."""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from deploy.config.access import USER
from deploy.errors import QueryError

TEST = "NotificationTest"  # the alert of `make test-alerts LIVE=1`; alertmanager.yml has its route
_SECONDS = 10.0
_SAMPLE = re.compile(r'^alertmanager_notification_requests_(failed_)?total\{(?:.*,)?integration="(\w+)".*\} (\S+)$')
_NAME = re.compile(r"""^- name: ["']?(.*?)["']?$""")
_KIND = re.compile(r"^  (\w+)_configs:$")


@dataclass(frozen=True)
class Alertmanager:
    host: str
    port: int
    password: str

    def get(self, path: str) -> Any:
        return json.loads(self.ask("GET", path))

    def post(self, path: str, body: object) -> None:
        self.ask("POST", path, json.dumps(body))

    def ask(self, method: str, path: str, body: str | None = None) -> str:
        """Raises QueryError when it does not answer, or refuses."""
        basic = base64.b64encode(f"{USER}:{self.password.strip()}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_SECONDS)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            said = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise QueryError(
                f"Alertmanager at {self.host}:{self.port} does not answer: {error}: `make status`"
            ) from error
        finally:
            connection.close()
        if response.status != 200:
            raise QueryError(f"Alertmanager answered {response.status}: {said.strip()[:200]}")
        return said

    def delivered(self) -> Counter[str]:
        """Returns how many requests each kind of integration has had answered well, since Alertmanager started."""
        return read_delivered(self.ask("GET", "/metrics"))

    def integrations(self) -> dict[str, Counter[str]]:
        """Returns receiver -> kinds of integrations, and how many of each."""
        return read_integrations(self.get("/api/v2/status")["config"]["original"])


def read_delivered(metrics: str) -> Counter[str]:
    counted: Counter[str] = Counter()
    for failed, kind, value in (match.groups() for line in metrics.splitlines() if (match := _SAMPLE.match(line))):
        counted[kind] += int(float(value)) * (-1 if failed else 1)
    return counted


def read_integrations(config: str) -> dict[str, Counter[str]]:
    """Reads the configuration as Alertmanager itself writes it: a list below `receivers:`, two spaces a level."""
    found: dict[str, Counter[str]] = {}
    kind, name = "", ""
    for line in config.partition("\nreceivers:\n")[2].splitlines():
        if not line.startswith((" ", "-")):
            break
        if match := _NAME.match(line):
            name, kind = match[1], ""
            found[name] = Counter()
        elif match := _KIND.match(line):
            kind = match[1]
        elif kind and line.startswith("  - "):
            found[name][kind] += 1
    return found
