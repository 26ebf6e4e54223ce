"""Access to Prometheus and Alertmanager: a user and a password for each, since both can stop all healing.

Whoever may write to Alertmanager silences what the healer waits for. Each has its own password, so that a part that
reads samples, such as Grafana, cannot do that. This module needs no package but Python's own; web.py makes the hashes.
"""

from __future__ import annotations

USER = "vllm-monitor"
GUARDED = ("prometheus", "alertmanager")
ADMIN = "grafana_password"  # of Grafana's user admin, where `make up` starts one natively
TOKEN = "healer_token"  # between Alertmanager and the healer
OPERATOR_TOKEN = "healer_operator_token"  # for people, who pause the healer over HTTP
READ_TOKEN = "healer_read_token"  # for programs that look at its incidents
WEB = "web.yml"  # --web.config.file: https://prometheus.io/docs/prometheus/latest/configuration/https/
CLIENT = "client.yml"  # --http.config.file of promtool and amtool


def password_name(part: str) -> str:
    """Returns the name of the secret's file."""
    return f"{part}_password"


# Which secrets each part reads.
SECRETS = {
    "prometheus": tuple(map(password_name, GUARDED)),  # it scrapes both, and sends alerts
    "alertmanager": (TOKEN, password_name("alertmanager")),
    "healer": (TOKEN, OPERATOR_TOKEN, READ_TOKEN, *map(password_name, GUARDED)),
    "grafana": (password_name("prometheus"),),
}


def basic_auth(part: str, folder: object) -> dict[str, str]:
    """Returns the block `basic_auth` of a client whose secrets lie in `folder`."""
    return {"username": USER, "password_file": f"{folder}/{password_name(part)}"}
