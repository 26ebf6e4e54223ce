"""A real Prometheus and Alertmanager with the rendered configuration, whose waits alone are divided."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import yaml

from deploy.config.access import SECRETS
from deploy.config.alertmanager import render_alertmanager
from deploy.config.prometheus import render_prometheus
from deploy.config.settings import Ports, load_settings
from deploy.config.site import native_site
from tests.alerts.live import PASSWORD, ask, make_secrets, run_program
from tests.alerts.sending.cases import Case
from tests.alerts.sending.receivers import ROUTING_KEY, Addresses
from tests.alerts.sending.series import Series, history, page, seconds
from tests.alerts.toolchain import ALERTMANAGER, PROMETHEUS, Tools, output_of
from tests.ports import free_port

DIVISOR = 300  # of each `for`: half an hour is six seconds
LONGEST = 12.0  # seconds of any, half a day too
ENV = """\
SLACK_WEBHOOK_URL_FILE=slack
PAGERDUTY_ROUTING_KEY_FILE=pagerduty
PAGERDUTY_URL=http://127.0.0.1:{http}/v2/enqueue
PAGERDUTY_SEVERITIES=critical
ALERT_WEBHOOK_URL=http://127.0.0.1:{http}/hook
OPSGENIE_API_KEY_FILE=opsgenie
OPSGENIE_API_URL=http://127.0.0.1:{http}/opsgenie/
SMTP_SMARTHOST=127.0.0.1:{smtp}
SMTP_FROM=vllm@example.org
SMTP_REQUIRE_TLS=false
SMTP_TO=people@example.org
SMTP_SEVERITIES=warning,info
SMTP_TO_2=gpu@example.org
SMTP_COMPONENTS_2=gpu,host
GRAFANA_URL=https://grafana.example.org
"""
TEAMS = "MSTEAMS_WEBHOOK_URL_FILE=teams\n"


@dataclass
class Alertmanager:
    """Start it with `run`; a second run goes on from the state of the first."""

    tools: Tools
    home: Path
    config: Path
    port: int

    @contextmanager
    def run(self) -> Iterator[None]:
        command = [
            self.tools.alertmanager,
            f"--config.file={self.config}",
            f"--storage.path={self.home / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--web.external-url=http://127.0.0.1:{self.port}",
            f"--web.config.file={make_secrets(self.home)}",
            "--cluster.listen-address=",
        ]
        with run_program(command, self.home / "alertmanager.log", self.port):
            yield


def prepare_alertmanager(tools: Tools, home: Path, to: Addresses, teams: bool, **waits: str) -> Alertmanager:
    """Renders a .env with every channel. `waits`: of people's routes, in place of the shortened ones."""
    secrets = {
        "slack": f"http://127.0.0.1:{to.http}/services/T0/B0/x",
        "pagerduty": ROUTING_KEY,
        "opsgenie": "secret",
        "teams": f"http://127.0.0.1:{to.http}/workflows/x",
    }
    for name, text in secrets.items():
        (home / name).write_text(text)
    (home / ".env").write_text(ENV.format(http=to.http, smtp=to.smtp) + (TEAMS if teams else ""))
    settings = load_settings(home / ".env", {}, "gpu1")
    site = native_site(Ports(healer=to.http), home)
    files = render_alertmanager(ALERTMANAGER, site, settings.people, settings.grafana_url)
    for name, text in files.items():
        (home / "am" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "am" / name).write_text(_hurried(text, waits) if name.endswith(".yml") else text)
    make_secrets(home)
    _write_secrets(site.secrets["alertmanager"], SECRETS["alertmanager"])
    file = home / "am" / "alertmanager.yml"
    deadman = f"- name: deadman\n  webhook_configs:\n  - url: http://127.0.0.1:{to.http}/deadman\n"
    text = file.read_text()
    assert "- name: deadman\n" in text
    file.write_text(text.replace("- name: deadman\n", deadman))
    return Alertmanager(tools, home, file, free_port())


def _write_secrets(folder: Path, names: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(f"{PASSWORD}\n")


def _hurried(text: str, waits: dict[str, str]) -> str:
    short = {"group_wait: 10s": "1s", "group_interval: 1m": "2s", "group_interval: 15s": "2s"}
    for line, wait in short.items():
        key = line.partition(":")[0]
        text = text.replace(line, f"{key}: {waits.get(key, wait)}")
    return text


@dataclass
class Source:
    """The page that goes on from the history of some cases."""

    cases: Sequence[Case]
    started: float
    on: bool = True

    def text(self) -> str:
        since = time.time() - self.started
        lines = [
            line
            for case in (self.cases if self.on else ())
            for line in page(scraped(case), case.age, since, self.started - case.age)
        ]
        return "".join(f"{line}\n" for line in lines)


def scraped(case: Case) -> list[Series]:
    """Without what the rules record themselves from now on."""
    return [one for one in case.series if not one.name.startswith("server:")]


@contextmanager
def run_prometheus(tools: Tools, home: Path, source: Source, alertmanager: int) -> Iterator[int]:
    """With the history of the source, made by promtool. Yields its port."""
    with ExitStack() as stack:
        page_port = stack.enter_context(_serve(source))
        port = free_port()
        config = home / "prometheus"
        ports = Ports(exporter=page_port, healer=page_port, prometheus=port, alertmanager=alertmanager)
        site = native_site(ports, home)
        _write_secrets(site.secrets["prometheus"], SECRETS["prometheus"])
        for name, text in render_prometheus(PROMETHEUS, site, ()).items():
            (config / name).parent.mkdir(parents=True, exist_ok=True)
            (config / name).write_text(_divided(text))
        (config / "prometheus.yml").write_text(_only_the_page((config / "prometheus.yml").read_text(), page_port))
        data = home / "data"
        lines = [line for case in source.cases for line in history(case.series, case.age, source.started)]
        (home / "history.txt").write_text("\n".join([*lines, "# EOF\n"]))
        if lines:
            output_of(tools.promtool, "tsdb", "create-blocks-from", "openmetrics", home / "history.txt", data)
        command = [
            tools.prometheus,
            f"--config.file={config / 'prometheus.yml'}",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.config.file={make_secrets(home)}",
            "--web.enable-admin-api",
            # What fires before Alertmanager is found waits so long; what is not sent for four times that ends.
            "--rules.alert.resend-delay=8s",
        ]
        stack.enter_context(run_program(command, home / "prometheus.log", port))
        yield port


def forget(port: int) -> None:
    """Takes all samples out of Prometheus, so that what fired by a window of hours ends now."""
    url = f"http://127.0.0.1:{port}/api/v1/admin/tsdb/delete_series?match[]=%7B__name__%21%3D%22%22%7D"
    assert ask(url, b"")[0] == 204


def _divided(text: str) -> str:
    """Each `for` by DIVISOR, and groups each second. Windows stay: the history fills them."""
    text = re.sub(r"^( +interval: )\w+$", r"\g<1>1s", text, flags=re.MULTILINE)
    text = re.sub(
        r"^( +for: )(\w+)",
        lambda m: f"{m[1]}{min(seconds(m[2]) / DIVISOR, LONGEST) * 1000:.0f}ms",
        text,
        flags=re.MULTILINE,
    )
    return re.sub(r"(page_wait_seconds\n +expr: )\d+", r"\g<1>1", text)


def _only_the_page(text: str, page_port: int) -> str:
    """Scrapes the page in place of the parts, which are not there; rules and Alertmanager stay."""
    config = yaml.safe_load(text)
    config["global"] = dict.fromkeys(("scrape_interval", "evaluation_interval", "scrape_timeout"), "1s")
    bare = [
        {"source_labels": [f"bare_{label}"], "regex": "1", "target_label": label, "replacement": ""}
        for label in ("job", "instance")
    ]
    config["scrape_configs"] = [
        {
            "job_name": "injected",
            "honor_labels": True,
            "static_configs": [{"targets": [f"127.0.0.1:{page_port}"]}],
            "metric_relabel_configs": [*bare, {"regex": "bare_(job|instance)", "action": "labeldrop"}],
        }
    ]
    return str(yaml.safe_dump(config))


@contextmanager
def _serve(source: Source) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = source.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
