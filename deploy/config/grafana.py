"""Renders what a Grafana that `make up` starts natively reads: its settings, the data source, the boards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploy.config.access import password_name
from deploy.config.addresses import HOST
from deploy.config.files import read_template

PASSWORD = "admin_password"
OVERVIEW = "/d/vllm-monitor-overview"
# Read by Grafana itself every ten seconds: a change of what is below needs no restart.
BOARDS = "dashboards/"

# As docker-compose.yml has it: nobody signs up, nothing is asked of others, and nothing told or downloaded.
_INI = """\
; Rendered by `make up`; changes are overwritten.
[paths]
data = {data}
logs = {data}/log
plugins = {data}/plugins
provisioning = {config}/provisioning
[server]
http_addr = {host}
http_port = {port}
[log]
mode = console
[security]
admin_user = admin
admin_password = $__file{{{config}/{password}}}
disable_gravatar = true
[auth.anonymous]
enabled = false
[users]
allow_sign_up = false
[news]
news_feed_enabled = false
[snapshots]
external_enabled = false
[dashboards]
min_refresh_interval = 1s
default_home_dashboard_path = {config}/dashboards/overview.json
[analytics]
reporting_enabled = false
check_for_updates = false
check_for_plugin_updates = false
[plugins]
preinstall_disabled = true
"""
_PROVISIONED = ("provisioning/dashboards/boards.yml", "provisioning/datasources/prometheus.yml")


def address(port: int) -> str:
    return f"http://{HOST}:{port}"


def render_grafana(source: Path, config: Path, data: Path, port: int, prometheus: str) -> dict[str, str]:
    """Returns the files below `config` by name. `source`: grafana/ of the checkout; `prometheus`: its host:port.

    The boards are copies, since Grafana's user may not look into the checkout.
    """
    values = {"host": HOST, "port": port, "config": config, "data": data, "password": PASSWORD}
    places: Mapping[str, str] = {  # those of docker-compose.yml -> ours
        "/etc/grafana/dashboards": str(config / "dashboards"),
        "http://prometheus:9090": f"http://{prometheus}",
        f"/etc/vllm-monitor/{password_name('prometheus')}": str(config / password_name("prometheus")),
    }
    boards = sorted((source / "dashboards").glob("*.json"))
    return {
        "grafana.ini": _INI.format_map(values),
        **{name: _moved(read_template(source / name), places) for name in _PROVISIONED},
        **{f"{BOARDS}{file.name}": read_template(file) for file in boards},
    }


def _moved(text: str, places: Mapping[str, str]) -> str:
    for there, here in places.items():
        text = text.replace(there, here)
    return text
