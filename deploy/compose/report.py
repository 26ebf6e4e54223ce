"""Makes the words that `up` ends with."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from deploy.compose.engine import Compose
from deploy.config.access import GUARDED, USER, password_name
from deploy.config.alertmanager_api import Alertmanager
from deploy.config.filled import Filled
from deploy.config.query import query
from deploy.config.trial import try_channels
from deploy.errors import ComposeError

_PAGES = {"grafana": "", "prometheus": "/alerts", "alertmanager": "/#/alerts", "healer": "/"}
LOGIN = (
    f"Log in   to Prometheus as {USER}, password: "
    "`docker compose exec prometheus cat /etc/vllm-monitor/prometheus_password`, likewise to Alertmanager"
)
_LOOPBACK = ("localhost", "[::1]", "::1")
_SECONDS = 1.0  # a connection on this host takes microseconds


def report(filled: Filled, containers: Sequence[Mapping[str, Any]]) -> str:
    """Says where things are, what is watched, who is told, and what is left to do."""
    addresses = {service: f"{address}{_PAGES[service]}" for service, address in published(containers).items()}
    unseen = [server for server, address in filled.targets.items() if is_unseen(address, filled.gateway)]
    return "\n".join(
        [
            "vllm-monitor is up",
            *_table(addresses),
            *([LOGIN] if addresses.keys() & set(GUARDED) else []),
            f"Watches  {', '.join(filled.targets)}",
            f"People   {filled.people}",
            *(f"Warning: {warning}" for warning in filled.warnings),
            "Next",
            *(f"  {step}" for step in next_steps(filled.chosen, unseen, "grafana" in addresses)),
        ]
    )


def ask(compose: Compose, expression: str) -> int:
    """Prints Prometheus' answer. Raises ComposeError when it does not run, and QueryError."""
    port, password = _access(compose, "prometheus")
    print(query("127.0.0.1", port, password, expression))
    return 0


def send_test(compose: Compose) -> int:
    """Sends a message to every channel, and says what became of it. Raises ComposeError and QueryError."""
    port, password = _access(compose, "alertmanager")
    since = str(int(time.time()))  # docker takes Unix times too

    def read_log() -> str:
        answer = compose.ask("logs", "--no-log-prefix", "--since", since, "alertmanager")
        return answer.out + answer.err

    return try_channels(Alertmanager("127.0.0.1", port, password), read_log, print)


def _access(compose: Compose, part: str) -> tuple[int, str]:
    """Returns port and password."""
    address = published(compose.containers()).get(part)
    if not address:
        raise ComposeError(f"{part} does not run: `make up`")
    password = compose.ask("exec", "-T", part, "cat", f"/etc/vllm-monitor/{password_name(part)}")
    if password.code:
        raise ComposeError(f"{part}'s password cannot be read: {password.err.strip()[-300:]}")
    return int(address.rpartition(":")[2]), password.out


def published(containers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Returns service -> address of each service that has a page."""
    found = {
        str(container["Service"]): f"http://127.0.0.1:{publisher['PublishedPort']}"
        for container in containers
        for publisher in container.get("Publishers") or []
        if publisher.get("PublishedPort")
    }
    return {service: found[service] for service in _PAGES if service in found}


def next_steps(chosen: bool, unseen: Sequence[str], grafana: bool) -> list[str]:
    """Says only what is left to do."""
    steps = []
    if not chosen:
        steps.append("name your servers: VLLM_TARGETS=host:port,… in .env (cp .env.example .env), then `make up`")
    if unseen:
        words = "listen on 127.0.0.1 alone, where no container reaches them: start them with --host 0.0.0.0, or"
        steps.append(f"{', '.join(unseen)} {words} `make down` and `make up NATIVE=1`")
    if grafana:
        steps.append("log in to Grafana: admin, `docker compose exec grafana cat /etc/vllm-monitor/admin_password`")
    return [*steps, "make status, make logs, make down; docs/compose.md"]


def is_unseen(address: str, gateway: str) -> bool:
    """True for a server of this host that answers on loopback and not at the address that containers reach."""
    host, _, port = address.rpartition(":")
    if host not in _LOOPBACK and not host.startswith("127."):
        return False
    return _connects(host.strip("[]"), int(port)) and not _connects(gateway, int(port))


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_SECONDS):
            return True
    except OSError:
        return False


def _table(rows: Mapping[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"  {name:<{width}}  {words}" for name, words in rows.items()]
