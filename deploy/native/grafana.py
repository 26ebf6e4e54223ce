"""Puts the boards and their data source into a Grafana that runs already. Doing it again changes nothing."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from deploy.config.access import USER
from deploy.config.addresses import HOST
from deploy.config.files import read_secret
from deploy.errors import NativeError, why
from deploy.native.layout import Layout

FOLDER = "vllm-monitor"  # as grafana/provisioning has it
SOURCE = "vllm-monitor-prometheus"
_SECONDS = 10.0


@dataclass(frozen=True)
class Grafana:
    """Calls its API, with the token of a service account that a file holds."""

    url: str
    token_file: Path

    def call(self, method: str, path: str, body: object = None) -> int:
        """Returns the status, which may be 404, 409 or 412. Raises NativeError for what else is no success."""
        request = urllib.request.Request(
            self.url.rstrip("/") + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {read_secret(self.token_file).strip()}",
                "Content-Type": "application/json",
            },
        )
        try:
            with _OPENER.open(request, timeout=_SECONDS) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            if error.code in (404, 409, 412):
                return error.code
            said = f"answers {error.code} to {method} {path}{_HINTS.get(error.code, '')}"
            raise NativeError(f"Grafana at {self.url} {said}") from error
        except OSError as error:
            raise NativeError(f"Grafana at {self.url} does not answer: {why(_inner(error))}") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The token goes to the address that the user wrote, and to no other."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
_HINTS = {
    301: ": write the address that it redirects to into GRAFANA_URL",
    302: ": write the address that it redirects to into GRAFANA_URL",
    401: ": the token in GRAFANA_TOKEN_FILE is not one of its own",
    403: ": the token's service account needs the role Editor, and Admin for the data source",
}


def _inner(error: OSError) -> Exception:
    """Returns the reason that urllib wraps."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return reason if isinstance(reason, Exception) else error


def publish(grafana: Grafana, layout: Layout, prometheus_port: int) -> str:
    """Uploads data source, folder and boards, and says where they are. Raises NativeError."""
    password = read_secret(layout.run / "secrets" / "prometheus_password").strip()
    source = data_source(f"http://{HOST}:{prometheus_port}", password)
    if grafana.call("PUT", f"/api/datasources/uid/{SOURCE}", source) == 404:
        grafana.call("POST", "/api/datasources", source)
    grafana.call("POST", "/api/folders", {"uid": FOLDER, "title": "vLLM"})  # 409, 412: it is there
    boards = sorted((layout.root / "grafana" / "dashboards").glob("*.json"))
    for file in boards:
        board = {"dashboard": json.loads(file.read_text()), "folderUid": FOLDER, "overwrite": True}
        if grafana.call("POST", "/api/dashboards/db", board) != 200:
            raise NativeError(f"Grafana at {grafana.url} keeps its {file.stem}: another source provides that board")
    return f"{grafana.url.rstrip('/')}/d/vllm-monitor-overview ({len(boards)} boards)"


def data_source(url: str, password: str) -> dict[str, object]:
    """Returns what grafana/provisioning/datasources/prometheus.yml says."""
    return {
        "uid": SOURCE,
        "name": "vLLM Monitor Prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": url,
        "basicAuth": True,
        "basicAuthUser": USER,
        "secureJsonData": {"basicAuthPassword": password},
        "jsonData": {"httpMethod": "POST", "timeInterval": "5s", "manageAlerts": True},
    }
