"""Who hears of what."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import yaml

from deploy.config.alertmanager import render_alertmanager
from deploy.config.settings import Ports, load_settings
from deploy.config.site import native_site
from tests.alerts.toolchain import ALERTMANAGER, Tools, output_of

pytestmark = pytest.mark.alerts

CONFIG = ALERTMANAGER / "alertmanager.yml"

ROUTES = [
    ("alertname=VllmDown server=gpu1:8000 severity=critical healable=true", "healer,nobody"),
    ("alertname=Mine server=gpu1:8000 severity=critical notify=nobody", "nobody"),
    ("alertname=VllmDown server=gpu1:8000 severity=critical healable=false", "healer,human"),
    ("alertname=VllmEngineStalled server=gpu1:8000 severity=critical healable=true", "healer,nobody"),
    ("alertname=VllmDownUnhealed server=gpu1:8000 severity=critical healable=false notify=people", "human"),
    ("alertname=HealerNeedsPerson server=gpu1:8000 severity=critical healable=false notify=people", "human"),
    ("alertname=VllmHealed server=gpu1:8000 severity=info healable=false notify=people", "human-once"),
    ("alertname=VllmQueueOverload server=gpu1:8000 severity=warning healable=true", "healer,human"),
    ("alertname=LowThroughput server=gpu1:8000 severity=info healable=false", "healer,human"),
    ("alertname=YourOwnAlert server=gpu1:8000", "healer,human"),
    ("alertname=VllmProcessOrphaned severity=critical healable=true", "human"),  # of no known server
    ("alertname=ExporterDown instance=127.0.0.1:9855 severity=warning", "human"),
    ("alertname=HealerDown instance=127.0.0.1:9856 severity=warning", "human"),
    ("alertname=HealerGaveUp instance=127.0.0.1:9856 target=gpu1:8000 severity=warning", "human"),
    ("alertname=VllmSetAside server=gpu1:8000 severity=none state=draining", "nobody"),
    ("alertname=Watchdog severity=none part_of=vllm-monitor", "deadman"),
    ("alertname=NotificationTest severity=info", "human"),
]

# PagerDuty hears what is critical, the second mail what is not, the third what concerns GPUs or hosts, others all.
ENV = """\
SLACK_WEBHOOK_URL_FILE=url
PAGERDUTY_ROUTING_KEY_FILE=key
PAGERDUTY_SEVERITIES=critical
SMTP_SMARTHOST=mail:25
SMTP_FROM=v@b.c
SMTP_TO=a@b.c
SMTP_TO_2=b@b.c
SMTP_SEVERITIES_2=warning,info
SMTP_TO_3=c@b.c
SMTP_COMPONENTS_3=gpu,host
"""
MUTED = "ALERT_MUTE_TIMES=Mon-Fri 22:00-06:00; Sat,Sun 00:00-24:00\nALERT_MUTE_TIME_ZONE=Europe/Berlin\n"

SEVERITIES = ("critical", "warning", "info", "your-own", "")
COMPONENTS = ("server", "engine", "gpu", "host", "traffic", "slo", "healer", "monitoring", "your-own", "")


def test_alertmanager_accepts_the_configuration(tools: Tools) -> None:
    output_of(tools.amtool, "check-config", CONFIG)


@pytest.mark.parametrize(("labels", "receivers"), ROUTES, ids=[labels.split()[0] for labels, _ in ROUTES])
def test_routes_each_alert_to(tools: Tools, labels: str, receivers: str) -> None:
    assert routed(tools, CONFIG, *labels.split()) == receivers.split(",")


@pytest.fixture
def rendered(tmp_path: Path) -> Callable[[str], Path]:
    """The configuration that a .env makes."""
    (tmp_path / "url").write_text("https://hooks.example.org/x\n")
    (tmp_path / "key").write_text("k" * 32)

    def render(env: str) -> Path:
        (tmp_path / ".env").write_text(env)
        people = load_settings(tmp_path / ".env", {}, "gpu1").people
        for name, text in render_alertmanager(ALERTMANAGER, native_site(Ports(), tmp_path), people).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path / "alertmanager.yml"

    return render


def routed(tools: Tools, config: Path, *labels: str) -> list[str]:
    """The receivers, in the order in which they are told."""
    output = output_of(tools.amtool, "config", "routes", "test", f"--config.file={config}", *labels)
    return [name for name in output.strip().split(",") if name]


@pytest.mark.parametrize("mute", ["", MUTED], ids=["never muted", "with mute times"])
def test_each_severity_of_each_component_reaches_who_wants_it(
    tools: Tools, rendered: Callable[[str], Path], mute: str
) -> None:
    config = rendered(ENV + mute)
    output_of(tools.amtool, "check-config", config)
    for severity, component in product(SEVERITIES, COMPONENTS):
        named = {"severity": severity, "component": component, "failure_mode": "x" if component else ""}
        labels = [f"{name}={value}" for name, value in named.items() if value]
        wanted = {"healer", "human"}
        wanted |= {"human-pagerduty"} if severity == "critical" else set()
        wanted |= {"human-email-2"} if severity in ("warning", "info") else set()
        wanted |= {"human-email-3"} if component in ("gpu", "host") else set()
        heard = routed(tools, config, "alertname=A", "server=gpu1:8000", *labels)
        assert (len(heard), set(heard)) == (len(wanted), wanted), labels
        assert set(routed(tools, config, "alertname=A", *labels)) == wanted - {"healer"}, labels
        assert set(routed(tools, config, "alertname=A", "model_name=m", *labels)) == wanted - {"healer"}, labels


def test_a_test_message_reaches_everybody_and_a_dead_mans_switch_nobody_else(
    tools: Tools, rendered: Callable[[str], Path]
) -> None:
    config = rendered(ENV + MUTED)
    everybody = ["human-email-2", "human-email-3", "human-pagerduty", "human"]
    assert routed(tools, config, "alertname=NotificationTest", "severity=info") == everybody
    assert routed(tools, config, "alertname=Watchdog", "severity=none") == ["deadman"]


def test_what_can_wait_is_muted_for_people_and_never_for_the_healer(rendered: Callable[[str], Path]) -> None:
    route = yaml.safe_load(rendered(ENV + MUTED).read_text())["route"]
    unheard, aside, healer, deadman, acted_on, once, test, *people = route["routes"]
    assert "mute_time_intervals" not in str((unheard, aside, healer, deadman, acted_on, test))
    for leaf in (once, *people):
        for way in leaf["routes"]:
            muted = way.get("mute_time_intervals", [])
            assert muted == (["quiet"] if way["matchers"][-1] == 'severity =~ "warning|info"' else [])
