"""Who is woken, by a real Prometheus, Alertmanager, healer and supervisord: not by what heals itself, and by all else.

Servers fail one beside the other, each in its way. Intervals are short; the 60 s that a page waits are PAGE_WAIT here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from deploy.config.access import TOKEN as TOKEN_FILE
from deploy.config.access import USER, password_name
from deploy.config.settings import Ports
from prometheus.thresholds import SOURCE, Threshold, parse, render
from tests.alerts.live import (
    TOKEN,
    World,
    ask,
    copy_alertmanager,
    copy_prometheus,
    make_secrets,
    serve,
    start_alertmanager,
    start_prometheus,
    wait_until,
)
from tests.alerts.toolchain import Tools
from tests.healer.actuators.fake_supervised import Fleet, start_fleet
from tests.healer.network import fake_http
from tests.healer.stage import HURRIED, Healer
from tests.patience import PATIENCE
from tests.ports import free_port
from vllm_healer.actuators.supervisor_rpc import Supervisor
from vllm_healer.actuators.supervisord import Supervisord
from vllm_healer.model import IncidentState

pytestmark = [pytest.mark.alerts, pytest.mark.timeout(300)]

PAGE_WAIT = 20.0  # seconds; what is sent at once arrives within five, on a busy machine within twice that
DEADLINE = 8.0  # seconds that a start may take; the healer has to be seen waiting for it
PROGRAMS = {
    "heals": "false",
    "fails": "false once",
    "late": "false",
    "stopped": "false",
    "unheard": "false",
    "paused": "false",
    "dead": "false",
    "dry": "false",
}
STRANGER = "stranger:8000"
TOO_BUSY = "this machine is too busy: a healer that is not seen is not waited for"
# It shares two cores with what looks at it; a scrape that comes too late would wake people, and rightly so.
CALM = HURRIED.replace("= 0.1, 0.5, 0.2, 0.5", "= 0.5, 1.0, 0.5, 0.5")

POLICY = """\
mode: act
listen: 127.0.0.1:{port}
token_file: token
journal: journal.sqlite
prometheus_url: http://127.0.0.1:{prometheus}
prometheus_http_config: {{basic_auth: {{username: {user}, password_file: prometheus_password}}}}
alertmanager_url: http://127.0.0.1:{alertmanager}
alertmanager_http_config: {{basic_auth: {{username: {user}, password_file: alertmanager_password}}}}
remediations: [notify_only, reap_orphans, restart_engine]
reconcile_seconds: 1
targets:
"""
LISTED = """\
  - server: {server}
    url: {url}
    pool: {server}
    actuator: supervisord
    options: {{url: "{socket}", program: {name}}}
    start_timeout: {timeout}
"""


@dataclass
class Scene:
    """The servers, and what people are told of them."""

    fleet: Fleet
    healer: Healer
    world: World
    ports: Ports
    engines: dict[str, fake_http.FakeServer]
    down: dict[str, float] = field(default_factory=dict)  # since when, in seconds since the epoch

    def publish(self) -> None:
        """What the exporter sees of each server."""
        lines = []
        for server in (*(f"{name}:8000" for name in PROGRAMS), STRANGER):
            down = server in self.down
            lines += [
                f'vllm_probe_health{{server="{server}",result="ok"}} {int(not down)}',
                f'vllm_probe_health{{server="{server}",result="503"}} {int(down)}',
                f'vllm_server_stalled{{server="{server}"}} 0',
            ]
        self.world.metrics = "\n".join(lines) + "\n"

    def break_down(self, *names: str) -> None:
        """All their processes end at once, as when memory is short."""
        for name in names:
            if name in PROGRAMS:
                self.engines[name].say_json("/health", {}, status=503)
                for process in self.fleet.programs[name].processes().values():
                    os.kill(process.pid, signal.SIGKILL)
            self.down[f"{name}:8000"] = time.time()
        self.publish()

    def come_back(self, name: str) -> None:
        self.engines[name].say_json("/health", {})

    def seen_well(self, name: str) -> None:
        """The exporter sees it, later than the healer."""
        del self.down[f"{name}:8000"]
        self.publish()

    def told(self, server: str, alert: str = "", status: str = "firing") -> list[tuple[str, float]]:
        """(alert, when) of each message to people about the server."""
        return [
            (str(labels["alertname"]), one.at)
            for one in tuple(self.world.received)
            for sent in one.alerts
            if one.path in ("/human", "/human-once") and isinstance(labels := sent["labels"], dict)
            if labels.get("server") == server and sent["status"] == status and alert in ("", labels["alertname"])
        ]

    def waits_for_page(self, name: str) -> float:
        """Seconds from the failure to the page."""
        server = f"{name}:8000"
        page = "VllmDownUnhealed"
        wait_until(lambda: bool(self.told(server, page)), PATIENCE, f"the page about {server}: {self.story()}")
        return self.told(server, page)[0][1] - self.down[server]

    def waits_for_words(self, words: str) -> None:
        found = lambda: any(words in said for said in self.healer.sentences())  # noqa: E731
        wait_until(found, PATIENCE, f"{words}: {self.story()}")

    def story(self) -> str:
        return "\n".join([*self.healer.sentences(), str([self.told(server) for server in self.down])])


@pytest.fixture
def scene(tools: Tools, tmp_path: Path, supervisord: str) -> Iterator[Scene]:
    world = World("")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pages-")))  # a socket's path is short
        fleet = start_fleet(supervisord, folder, free_port(), PROGRAMS)
        stack.callback(fleet.end)
        engines = {name: engine(stack) for name in PROGRAMS}
        page = stack.enter_context(serve(world))
        ports = Ports(exporter=page, healer=free_port(), prometheus=free_port(), alertmanager=free_port())
        healer = Healer(tmp_path / "healer", ports.healer, main=CALM)
        configure(healer, tmp_path, ports, fleet, engines)
        scene = Scene(fleet, healer, world, ports, engines)
        scene.publish()
        for program in fleet.programs.values():
            program.start(Supervisord(lambda server: {}).observe)
        copy_alertmanager(tmp_path, page, ports.healer)
        copy_prometheus(tmp_path, page, ports.prometheus, ports.alertmanager, ports.healer)
        hurry(tmp_path / "config" / "prometheus")
        stack.enter_context(start_prometheus(tools, tmp_path, ports.prometheus))
        healer.start()
        stack.callback(healer.kill)
        yield scene


def engine(stack: ExitStack) -> fake_http.FakeServer:
    """A vLLM server that is well."""
    fake = fake_http.FakeServer()
    stack.callback(fake_http.start(fake).shutdown)
    fake.say_json("/health", {})
    fake.say_json("/v1/models", {"data": [{"id": "tiny"}]})
    fake.say_json("/v1/completions", {"choices": [{"text": "."}]})
    return fake


def configure(healer: Healer, home: Path, ports: Ports, fleet: Fleet, engines: dict[str, fake_http.FakeServer]) -> None:
    healer.folder.mkdir()
    make_secrets(home)
    for name in (TOKEN_FILE, *map(password_name, ("prometheus", "alertmanager"))):
        target = healer.folder / ("token" if name == TOKEN_FILE else name)
        target.write_text((home / "secrets" / name).read_text())
        target.chmod(0o600)
    policy = POLICY.format(port=ports.healer, prometheus=ports.prometheus, alertmanager=ports.alertmanager, user=USER)
    for name, program in fleet.programs.items():
        timeout = DEADLINE if name == "late" else 120.0
        policy += LISTED.format(
            server=program.target.server,
            url=engines[name].url,
            socket=program.target.options["url"],
            name=name,
            timeout=timeout,
        )
    healer.config.write_text(policy)


def hurry(prometheus: Path) -> None:
    """The waits of this test, by the renderer; an alert is believed after a second. Scrapes have three: one
    that is lost because the machine is busy wakes people, and rightly so."""
    main = prometheus / "prometheus.yml"
    main.write_text(re.sub("scrape_(interval|timeout): 1s", r"scrape_\1: 3s", main.read_text()))
    short = [
        Threshold(one.name, PAGE_WAIT if one.name == "page_wait_seconds" else one.value, one.reason)
        for one in parse(SOURCE.read_text())
    ]
    (prometheus / "rules" / "thresholds.rules.yml").write_text(
        render(tuple(short)).replace("interval: 5s", "interval: 1s")
    )
    availability = prometheus / "alerts" / "availability.alerts.yml"
    availability.write_text(availability.read_text().replace("for: 5s", "for: 1s"))


def test_people_are_woken_by_what_does_not_heal_itself_and_by_nothing_else(scene: Scene, tools: Tools) -> None:
    alertmanager = ExitStack()
    with alertmanager:
        home = scene.healer.folder.parent
        alertmanager.enter_context(start_alertmanager(tools, home, scene.ports.alertmanager))
        wait_until(lambda: is_known(scene), PATIENCE, f"servers, Watchdog: {scene.healer.log()[-2000:]}")

        Supervisor(scene.fleet.programs["stopped"].target).stop()
        silence(scene, "unheard:8000")
        scene.break_down("heals", "fails", "late", "stopped", "unheard", "stranger")
        scene.waits_for_words("heals:8000: done")  # it was started again, and is loading
        alertmanager.close()
        alertmanager.enter_context(start_alertmanager(tools, home, scene.ports.alertmanager))
        assert scene.waits_for_page("stranger") < PAGE_WAIT
        assert scene.waits_for_page("fails") < PAGE_WAIT
        assert scene.waits_for_page("stopped") < PAGE_WAIT
        assert DEADLINE <= scene.waits_for_page("late") < PAGE_WAIT + DEADLINE
        waited = scene.waits_for_page("unheard")
        assert scrapes_lost(scene) == 0, TOO_BUSY
        assert waited >= PAGE_WAIT
        scene.come_back("heals")
        scene.waits_for_words("heals:8000 is healed")
        wait_until(lambda: bool(scene.told("heals:8000")), PATIENCE, f"VllmHealed: {scene.story()}")
        scene.seen_well("heals")  # the exporter sees it only now: VllmDown fires until here
        assert scrapes_lost(scene) == 0, TOO_BUSY
        assert [alert for alert, _ in scene.told("heals:8000")] == ["VllmHealed"], scene.story()
        fires = 'ALERTS{alertname="VllmDown", alertstate="firing", server="heals:8000"}'
        # Before the pause: people hear at once of what fires while the healer does nothing.
        wait_until(lambda: not query(scene, fires), PATIENCE, f"VllmDown to end: {scene.story()}")
        for name in ("fails", "late", "stopped", "unheard", "stranger"):
            assert [alert for alert, _ in scene.told(f"{name}:8000")] == ["VllmDownUnhealed"], scene.story()

        scene.healer.post("/pause", b'{"reason": "the test"}', token=TOKEN)
        wait_until(lambda: ready(scene) == set(), PATIENCE, "Prometheus to see the pause")
        scene.break_down("paused")
        assert scene.waits_for_page("paused") < PAGE_WAIT

        scene.healer.post("/resume", b"{}", token=TOKEN)
        wait_until(lambda: "dead:8000" in ready(scene), PATIENCE, "Prometheus to see that it acts again")
        scene.break_down("dead")
        scene.waits_for_words("restart_engine of dead:8000 is intended")
        scene.healer.kill()
        assert scene.waits_for_page("dead") < PAGE_WAIT

        scene.healer.environment = {"VLLM_HEALER_MODE": "dry_run"}
        scene.healer.start()
        wait_until(
            lambda: says_again(scene, "heals:8000"), PATIENCE, "the healer to say after its restart what it healed"
        )
        scene.break_down("dry")
        assert scene.waits_for_page("dry") < PAGE_WAIT
        assert [name for name, _ in scene.told("heals:8000")] == ["VllmHealed"], scene.story()


def is_known(scene: Scene) -> bool:
    """True when the healer has seen each server ready, and Prometheus that it would act on each."""
    with scene.healer.journal() as journal:
        memories = [journal.memory(f"{name}:8000") for name in PROGRAMS]
        assert not journal.incident_counts()[IncidentState.OPEN]
    seen = all(memory.seen_ready and memory.trees for memory in memories)
    return seen and len(ready(scene)) == len(PROGRAMS)


def ready(scene: Scene) -> set[str]:
    """The servers that a healer would act on now, as Prometheus knows."""
    return {one["metric"]["server"] for one in query(scene, "server:vllm_healer_ready:group")}


def says_again(scene: Scene, server: str) -> bool:
    """True when Prometheus knows again from the healer of an incident of the server that ended well."""
    return bool(query(scene, f'vllm_healer_incident_ended_timestamp_seconds{{server="{server}", state="healed"}}'))


def scrapes_lost(scene: Scene) -> int:
    """Of the healer and the exporter, in the last minute, since they were there first."""
    [found] = query(scene, 'sum(resets(up{job=~"healer|exporter"}[1m]))')
    return int(found["value"][1])


def query(scene: Scene, expression: str) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:{scene.ports.prometheus}/api/v1/query?query={quote(expression)}"
    found: list[dict[str, Any]] = json.loads(ask(url)[1])["data"]["result"]
    return found


def silence(scene: Scene, server: str) -> None:
    """Somebody has silenced what the healer waits for, and nothing else."""
    now = time.time()
    matchers = [
        {"name": name, "value": value, "isRegex": False, "isEqual": True}
        for name, value in (("alertname", "VllmDown"), ("server", server))
    ]
    moments = {
        name: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        for name, at in (("startsAt", now), ("endsAt", now + 600))
    }
    body = json.dumps({"matchers": matchers, "createdBy": "test", "comment": "test", **moments}).encode()
    assert ask(f"http://127.0.0.1:{scene.ports.alertmanager}/api/v2/silences", body)[0] == 200
