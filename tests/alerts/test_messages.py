"""What people read, in both generations: also of a hostile text, of no values, and of very many alerts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.alerts.toolchain import ALERTMANAGER, Tools, output_of

pytestmark = pytest.mark.alerts

MESSAGE = """\
[1 firing] VllmDown on gpu1:8000
A vLLM server is down (critical)
gpu1:8000 refuses connections.
Server: gpu1:8000
Since: 2026-01-02 03:04:05 UTC
Runbook: https://example.org/VllmDown.md
Dashboard: http://127.0.0.1:3000/d/vllm-overview?var-server=gpu1:8000
Graph: http://prometheus:9090/graph
Silence: http://alertmanager:9093/#/silences/new?filter=%7Balertname%3D%22VllmDown%22%2Cserver%3D%22gpu1%3A8000%22\
%2Cseverity%3D%22critical%22%7D

Resolved: A vllm-exporter is down
The exporter cannot be scraped.
Ended: 2026-01-02 03:14:05 UTC

All alerts: http://alertmanager:9093/#/alerts"""

DOWN = {
    "status": "firing",
    "labels": {"alertname": "VllmDown", "server": "gpu1:8000", "severity": "critical"},
    "annotations": {
        "summary": "A vLLM server is down",
        "description": "gpu1:8000 refuses connections.",
        "runbook_url": "https://example.org/VllmDown.md",
        "dashboard_url": "/d/vllm-overview?var-server=gpu1:8000",
    },
    "startsAt": "2026-01-02T03:04:05Z",
    "generatorURL": "http://prometheus:9090/graph",
}
ENDED = {
    "status": "resolved",
    "labels": {"alertname": "ExporterDown"},
    "annotations": {"summary": "A vllm-exporter is down", "description": "The exporter cannot be scraped."},
    "startsAt": "2026-01-02T03:04:05Z",
    "endsAt": "2026-01-02T03:14:05Z",
}
PARTS = (
    "vllm.title", "vllm.text", "vllm.slack.title", "vllm.slack.text", "vllm.slack.colour", "vllm.msteams.text",
    "vllm.pagerduty.firing", "vllm.pagerduty.resolved", "vllm.pagerduty.source", "vllm.pagerduty.severity",
    "vllm.opsgenie.priority", "vllm.runbook", "vllm.dashboard", "vllm.silence",
)  # fmt: skip

CUT = "\n=== cut ===\n"

# Text that would call a channel, make a link, a tag or a header, or hide what follows.
EVIL = (
    'x\r\nBcc: a@b.c\n\n<script>alert("1")</script> <!channel> <http://evil|ok> [a](http://evil) '
    "& \u202e\u0000\"'{{ .X }} "
)


@dataclass(frozen=True)
class Render:
    amtool: str
    home: Path

    def __call__(self, template: str, alerts: list[dict[str, Any]], **common: str) -> str:
        """One template of a group of alerts; with `common` labels."""
        return self.all((template,), alerts, **common)[template]

    def all(self, templates: Sequence[str], alerts: list[dict[str, Any]], **common: str) -> dict[str, str]:
        """Each by its name. HTML goes by itself."""
        status = "firing" if any(one["status"] == "firing" for one in alerts) else "resolved"
        group = {"receiver": "human", "status": status, "externalURL": "http://alertmanager:9093"}
        data = self.home / "data.json"
        data.write_text(json.dumps({**group, "commonLabels": common, "commonAnnotations": {}, "alerts": alerts}))
        output = output_of(
            self.amtool, "template", "render", f"--template.glob={ALERTMANAGER}/templates/*.tmpl",
            "--template.text=" + CUT.join(f'{{{{ template "{name}" . }}}}' for name in templates),
            f"--template.data={data}", *(["--template.type=html"] if templates == ("vllm.html",) else []),
        )  # fmt: skip
        return dict(zip(templates, output.removesuffix("\n").split(CUT), strict=True))


@pytest.fixture
def render(tools: Tools, tmp_path: Path) -> Render:
    return Render(tools.amtool, tmp_path)


def test_the_message_says_what_since_when_and_where_to_look(render: Render) -> None:
    title = render("vllm.title", [DOWN, ENDED], alertname="VllmDown", server="gpu1:8000")
    assert f"{title}\n{render('vllm.text', [DOWN, ENDED])}".strip() == MESSAGE


def test_a_title_names_the_severity_the_model_and_what_is_common(render: Render) -> None:
    labels = {"severity": "warning", "failure_mode": "overload", "model_name": "org/llama"}
    assert render("vllm.title", [DOWN, DOWN], **labels) == "[2 firing, warning] overload (org/llama)"
    assert render("vllm.title", [ENDED], **labels) == "[resolved, warning] overload (org/llama)"
    assert render("vllm.title", [DOWN]) == "[1 firing] alerts"


@pytest.mark.parametrize(
    ("severity", "colour", "pagerduty", "opsgenie"),
    [
        ("critical", "danger", "critical", "P1"),
        ("warning", "warning", "warning", "P3"),
        ("info", "#439FE0", "info", "P5"),
        ("page-me", "warning", "error", "P3"),
        ("", "warning", "error", "P3"),
    ],
)
def test_severities_are_those_of_each_service(
    render: Render, severity: str, colour: str, pagerduty: str, opsgenie: str
) -> None:
    assert render("vllm.slack.colour", [DOWN], severity=severity) == colour
    assert render("vllm.slack.colour", [ENDED], severity=severity) == "good"
    assert render("vllm.pagerduty.severity", [DOWN], severity=severity) == pagerduty
    assert render("vllm.opsgenie.priority", [DOWN], severity=severity) == opsgenie


def test_slack_has_links_and_the_html_too(render: Render) -> None:
    dashboard = "http://127.0.0.1:3000/d/vllm-overview?var-server=gpu1:8000"
    slack, html = render("vllm.slack.text", [DOWN]), render("vllm.html", [DOWN])
    for name, url in {"Runbook": "https://example.org/VllmDown.md", "Dashboard": dashboard}.items():
        assert f"<{url}|{name}>" in slack
        assert f'<a href="{url}">{name}</a>' in html
    assert "|Silence>" in slack
    assert ">Silence</a>" in html


def test_no_value_at_all_is_no_error(render: Render) -> None:
    bare = {"status": "firing", "labels": {}, "annotations": {}, "startsAt": "2026-01-02T03:04:05Z"}
    ended = {**bare, "status": "resolved", "endsAt": "2026-01-02T03:04:05Z"}
    for alerts in ([bare], [ended], []):
        for kind in (PARTS, ("vllm.html",)):
            assert "no value" not in "".join(render.all(kind, alerts).values())


def test_very_many_alerts_and_very_long_texts_stay_short(render: Render) -> None:
    long = "é" * 8_000  # Prometheus is told to take no longer label
    huge = {**DOWN, "labels": dict.fromkeys(("alertname", "server", "model_name", "severity"), long)}
    links = {"runbook_url": f"https://h/{long[:700]}", "dashboard_url": f"/{long[:700]}"}
    huge |= {"annotations": {"summary": long, "description": long, **links}, "generatorURL": f"https://h/{long[:700]}"}
    alerts = [huge] * 20 + [{**huge, "status": "resolved", "endsAt": "2026-01-02T03:04:05Z"}] * 20
    size = {name: len(text) for name, text in render.all(PARTS, alerts).items()}
    assert size["vllm.slack.text"] < 40_000  # Slack cuts there
    assert size["vllm.msteams.text"] < 13_000  # Teams refuses 28 KB; each of these characters takes two
    assert size["vllm.pagerduty.firing"] < 15_000  # what Opsgenie takes; PagerDuty takes 512 KB in all
    assert max(size.values()) == size["vllm.text"] < 60_000
    assert len(render("vllm.html", alerts)) < 300_000  # of which most are escapes


def test_an_address_that_is_too_long_is_left_out_and_not_cut(render: Render) -> None:
    far = {**DOWN, "generatorURL": "http://prometheus:9090/graph?g0.expr=" + "x" * 1500}
    assert "xxx" not in render("vllm.slack.text", [far])
    assert "xxx" not in render("vllm.text", [far])


def test_a_message_of_many_says_how_many_it_shows(render: Render) -> None:
    assert "10 of 12 that fire are shown." in render("vllm.text", [DOWN] * 12)
    assert "5 of 12 that fire are shown." in render("vllm.slack.text", [DOWN] * 12)
    assert "5 of 6 that have ended are shown." in render("vllm.slack.text", [ENDED] * 6)
    assert "shown" not in render("vllm.html", [DOWN] * 10)


@pytest.fixture
def hostile() -> dict[str, Any]:
    texts = dict.fromkeys(("summary", "description"), EVIL)
    links = {"runbook_url": f"javascript:alert(1)//{EVIL}", "dashboard_url": f"/d/x?var-server={EVIL}"}
    labels = dict.fromkeys(("alertname", "server", "model_name", "severity"), EVIL)
    return {**DOWN, "labels": labels, "annotations": {**texts, **links}, "generatorURL": f"http://p/{EVIL}"}


def test_a_hostile_text_stays_on_its_line(render: Render, hostile: dict[str, Any]) -> None:
    lines = render("vllm.text", [hostile]).splitlines()
    assert [line.split(" ")[0] for line in lines if line] == [
        "x", "x", "Server:", "Model:", "Since:", "Runbook:", "Dashboard:", "Graph:", "Silence:", "All",
    ]  # fmt: skip
    assert "javascript" not in "".join(lines)
    assert len(render("vllm.title", [hostile], alertname=EVIL, severity=EVIL, server=EVIL).splitlines()) == 1


def test_a_hostile_text_calls_nobody_in_slack_and_makes_no_link(render: Render, hostile: dict[str, Any]) -> None:
    text = render("vllm.slack.text", [hostile])
    links = re.findall(r"<([^>]*)>", text)
    assert [link.rsplit("|")[-1] for link in links] == ["Dashboard", "Graph", "Silence"]
    assert all(
        link.startswith(("http://127.0.0.1:3000/d/x", "http://p/x", "http://alertmanager:9093/")) for link in links
    )
    assert "<!channel>" not in render("vllm.slack.title", [hostile], alertname=EVIL, server=EVIL, model_name=EVIL)


def test_a_hostile_text_is_no_markup_in_a_mail(render: Render, hostile: dict[str, Any]) -> None:
    html = render("vllm.html", [hostile], alertname=EVIL, server=EVIL)
    assert "<script" not in html
    assert 'href="javascript' not in html
    assert re.findall(r"<(\w+)", html).count("a") == 5
    assert set(re.findall(r"<(\w+)", html)) <= {"html", "head", "meta", "title", "body", "h1", "p", "b", "a"}


def test_a_hostile_text_is_no_link_in_teams(render: Render, hostile: dict[str, Any]) -> None:
    text = render("vllm.msteams.text", [hostile])
    assert re.findall(r"\[(\w+)\]\(", text) == ["Dashboard", "Silence"]
