"""What release 0.1.0 wrote, and was configured by, still serves: recorded from a demo that it ran.

Its journal is in tests/healer/journal/test_release_before.py.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from deploy.config.settings import load_settings
from tests.exporter.fakes import FakeClock
from vllm_exporter.app import enabled, load_collectors
from vllm_exporter.config.config import Config, TargetConfig, load
from vllm_exporter.facts.facts import Lifecycles, ServerSight, Sights, Trees, VllmProcess
from vllm_exporter.facts.values import EngineValues, Ref
from vllm_exporter.run.collector import Context
from vllm_exporter.state import StateFile
from vllm_exporter.subjects.inside.base import parse_base
from vllm_exporter.subjects.lifecycle.collector import LifecycleCollector
from vllm_exporter.subjects.logs.collector import parse_positions
from vllm_exporter.subjects.processes.memory import ProcessMemory
from vllm_exporter.subjects.server.memory import ProbeMemory
from vllm_healer.config.config import load as load_healer

RECORDED = Path(__file__).parent / "release_0_1_0"
ROOT = Path(__file__).parents[2]
SERVERS = ("gpu1:8001", "gpu1:8002", "gpu1:8003")
BOOT, NAMESPACE = "8a6612a3-2c12-49d5-882f-a2919fb2f688", "pid:[4026531836]"
RECORDED_AT = 1_796_052_472.8  # Unix time of the newest change in lifecycle.json


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory as the old exporter left it."""
    shutil.copytree(RECORDED / "state", tmp_path / "state")
    return tmp_path / "state"


def test_the_parentage_of_processes_is_known(state: Path) -> None:
    memory = ProcessMemory(str(state), f"{BOOT} {NAMESPACE}", frozenset(SERVERS))
    assert set(memory.servers) == set(SERVERS)
    assert memory.mains["gpu1:8001"] == Ref(16923, 69697)
    assert {record.server for record in memory.records.values()} == set(SERVERS)


def test_what_was_learned_of_servers_is_known(state: Path, tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    (proc / "sys/kernel/random").mkdir(parents=True)
    (proc / "sys/kernel/random/boot_id").write_text(f"{BOOT}\n")
    (proc / "self/ns").mkdir(parents=True)
    (proc / "self/ns/pid").symlink_to(NAMESPACE)
    known = ProbeMemory(str(state), proc).recall(800.0)
    assert set(known) == set(SERVERS)
    assert known["gpu1:8001"].identity.ref == Ref(16923, 69697)
    assert known["gpu1:8001"].ready_at == pytest.approx(700.49, abs=0.01)


def test_the_state_of_each_server_is_known(state: Path) -> None:
    clock = FakeClock(wall=RECORDED_AT + 60.0)
    targets = tuple(TargetConfig(server, server) for server in SERVERS)
    context = Context(Config(targets=targets, state_dir=str(state)), clock)
    memory = ProcessMemory(str(state), f"{BOOT} {NAMESPACE}", frozenset(SERVERS))
    living = [
        VllmProcess(one.ref, one.role, one.rank, one.server, 1, "S", main=one.ref in memory.mains.values())
        for one in memory.records.values()
    ]
    busy = ServerSight("ok", work=True, stalled=False, progress_age=0.0, values=EngineValues(2, 0, iterations=100))
    context.board.post(Trees({one.ref.pid: one for one in living}))
    context.board.post(Sights(dict.fromkeys(SERVERS, busy)))
    list(LifecycleCollector(context).collect())
    posted = context.board.latest(Lifecycles)
    assert posted is not None
    assert {server: posted.states[server][0] for server in SERVERS} == dict.fromkeys(SERVERS, "serving")
    assert posted.states["gpu1:8001"][1] == pytest.approx(60.0, abs=0.1)


def test_what_ended_processes_had_counted_is_known(state: Path) -> None:
    sums = StateFile(str(state), "inside", "sums").load(parse_base)
    assert sums is not None
    assert {name: kept.numbers for (name, _), kept in sums.sums.items()} == {
        "vllm_requests_total": (19.0,),
        "vllm_request_latency_seconds": (3.0, 5.0, 1.0, 4.5),
    }
    assert [one.pid for one in sums.folded] == [19057]


def test_logs_are_read_on_from_where_they_were(state: Path) -> None:
    positions = StateFile(str(state), "logs", "positions").load(parse_positions)
    assert positions is not None
    assert positions["gpu1:8001 /var/log/vllm.log"]["offset"] == 12927


def test_its_exporter_yml_is_taken_and_no_collector_of_it_is_gone() -> None:
    config = load(RECORDED / "exporter.yml", {"HOME": "/home/a"}, {}, hostname="gpu1")
    assert set(enabled(load_collectors(), config)) == set(load_collectors())


def test_its_healer_yml_is_taken(tmp_path: Path) -> None:
    for file, servers in (("healer.yml", list(SERVERS)), ("shipped_healer.yml", [])):
        config = load_healer(RECORDED / file, {"HOME": str(tmp_path)}, {}, hostname="gpu1")
        assert [target.server for target in config.targets] == servers
        assert tuple(config.remediations) == ("notify_only", "reap_orphans", "restart_engine")


def test_its_env_is_taken_with_every_setting_that_it_had(tmp_path: Path) -> None:
    shutil.copy(RECORDED / "env", tmp_path / ".env")
    (tmp_path / "url").write_text("https://hooks.slack.com/services/T0/B0/x\n")
    (tmp_path / "secret").write_text("secret\n")
    people = load_settings(tmp_path / ".env", {}, "gpu1").people
    assert set(people.blocks()) == {"slack_configs", "webhook_configs", "email_configs"}


def test_a_link_to_its_board_is_told_where_the_board_is_now() -> None:
    """Its uid was vLLM's own: whoever provisioned both boards lost one of them."""
    board = json.loads((ROOT / "grafana" / "dashboards" / "overview.json").read_text())
    assert board["uid"] == "vllm-monitor-overview"
    assert "`/d/vllm-overview` is `/d/vllm-monitor-overview` now" in (ROOT / "CHANGELOG.md").read_text()
