"""The collector of parallel ranks, on a /proc in a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporter.fake_proc import FakeProc
from tests.exporter.fakes import FakeClock
from vllm_exporter.config.config import CollectorConfig, Config, TargetConfig
from vllm_exporter.config.yaml_lines import Value
from vllm_exporter.errors import ConfigError, NoData
from vllm_exporter.facts.events import RankFellBehind
from vllm_exporter.facts.facts import Gpus, GpuSight, RankSteps, Steps, Trees, VllmProcess
from vllm_exporter.facts.values import Ref, Role
from vllm_exporter.metrics.family import Family
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.parallel import families as names
from vllm_exporter.subjects.parallel.distributed_collector import DistributedCollector

SERVER = "gpu1:8000"
TARGETS = (TargetConfig("localhost:8000", SERVER), TargetConfig("gpu2:8000", "gpu2:8000"))


class World:
    """Processes that a test slows down, and a collector that looks at them every 1.1 s."""

    def __init__(self, root: Path, clock: FakeClock, roles: tuple[str, ...] = ()) -> None:
        self.proc = FakeProc(root / "proc")
        self.clock = clock
        options = {"roles": Value([Value(role, "line 1") for role in roles], "line 1")} if roles else {}
        config = Config(targets=TARGETS, collectors={"distributed": CollectorConfig(options=options)})
        self.context = Context(config, clock, proc=self.proc.root)
        self.subscription = self.context.bus.subscribe()
        self.collector = DistributedCollector(self.context)
        self.processes: dict[int, VllmProcess] = {}

    def add(self, pid: int, rank: str, role: Role = "worker", server: str = SERVER, ppid: int = 1) -> None:
        self.processes[pid] = VllmProcess(Ref(pid, 10 * pid), role, rank, server, ppid, "S")
        self.set(pid)

    def set(self, pid: int, state: str = "S", ticks: int = 0, delay: int = 0) -> None:
        """CPU time in 1/100 s, run delay in ns."""
        self.proc.process(pid, 1, "VLLM::Worker", state=state, ticks=ticks)
        (self.proc.root / str(pid) / "schedstat").write_text(f"1000 {delay} 5\n")

    def show(self, family: Family) -> dict[tuple[str, ...], float]:
        self.context.board.post(Trees(dict(self.processes)))
        found = [one for one in self.collector.collect() if one.family is family]
        shown = {one.values: one.value for one in found}
        assert len(shown) == len(found), "two samples with the same labels"
        self.clock.advance(1.1)
        return shown


@pytest.fixture
def world(tmp_path: Path, clock: FakeClock) -> World:
    made = World(tmp_path, clock)
    made.add(100, "TP0")
    made.add(101, "TP1")
    return made


def test_shows_the_sizes_that_the_titles_tell(world: World) -> None:
    assert world.show(names.PARALLEL_SIZE) == {
        (SERVER, "tensor"): 2,
        (SERVER, "pipeline"): 1,
        (SERVER, "data"): 1,
        (SERVER, "expert"): 1,
        (SERVER, "prefill_context"): 1,
        (SERVER, "decode_context"): 1,
    }
    assert world.show(names.PARALLEL_RANKS) == {(SERVER,): 2}


def test_a_rank_stopped_in_bursts_is_named_within_half_a_minute_and_again_fine_after_it(world: World) -> None:
    for at in range(28):
        world.set(101, state="T" if at % 3 == 0 else "R")
        shown = world.show(names.RANK_STRAGGLER)
    assert shown == {(SERVER, "TP0"): 0, (SERVER, "TP1"): 1}
    [event] = world.subscription.drain()
    assert isinstance(event, RankFellBehind)
    assert (event.kind, event.server, event.rank, event.reason) == (
        "straggler", SERVER, "TP1", "stopped",
    )  # fmt: skip
    assert event.summary.startswith("rank TP1 of gpu1:8000 holds the others up: it was stopped in 3")
    world.set(101, state="R")
    for _ in range(28):
        shown = world.show(names.RANK_STRAGGLER)
    assert shown == {(SERVER, "TP0"): 0, (SERVER, "TP1"): 0}


def test_nothing_is_said_of_a_rank_before_ten_seconds(world: World) -> None:
    world.set(101, state="T")
    for _ in range(9):
        assert world.show(names.RANK_STRAGGLER) == {}


def test_a_healthy_group_has_no_straggler_and_no_event(world: World) -> None:
    for at in range(40):
        world.set(100, ticks=100 * at)
        world.set(101, ticks=95 * at)
        shown = world.show(names.RANK_STRAGGLER)
    assert shown == {(SERVER, "TP0"): 0, (SERVER, "TP1"): 0}
    assert world.subscription.drain() == []


def test_a_rank_that_computes_less_than_its_peer_is_one(world: World) -> None:
    for at in range(15):
        world.set(100, ticks=110 * at)
        world.set(101, ticks=30 * at)
        shown = world.show(names.RANK_STRAGGLER_INFO)
    assert shown == {(SERVER, "TP1", "little_cpu"): 1}


def test_a_rank_whose_cpu_is_taken_is_one(world: World) -> None:
    for at in range(15):
        world.set(101, delay=at * 550_000_000)
        shown = world.show(names.RANK_STRAGGLER_INFO)
    assert shown == {(SERVER, "TP1", "starved"): 1}
    assert world.show(names.RANK_RUN_DELAY_SECONDS_TOTAL)[SERVER, "TP1"] == pytest.approx(7.7)


def test_replicas_are_compared_by_engines_where_these_have_no_workers(tmp_path: Path, clock: FakeClock) -> None:
    world = World(tmp_path, clock)
    world.add(100, "DP0", "engine_core")
    world.add(101, "DP1", "engine_core")
    for at in range(15):
        world.set(100, state="T")
        world.set(101, ticks=110 * at)
        shown = world.show(names.RANK_STRAGGLER_INFO)
    assert shown == {(SERVER, "DP0", "stopped"): 1}
    assert world.show(names.PARALLEL_SIZE)[SERVER, "data"] == 2


def test_workers_of_replicas_have_the_rank_of_their_engine(tmp_path: Path, clock: FakeClock) -> None:
    world = World(tmp_path, clock)
    for replica in (0, 1):
        world.add(100 + replica, f"DP{replica}", "engine_core")
        world.add(110 + replica, "", ppid=100 + replica)  # of a model without experts their titles are the same
    for _ in range(15):
        world.set(111, state="T")
        shown = world.show(names.RANK_STRAGGLER)
    assert shown == {(SERVER, "DP0"): 0, (SERVER, "DP1"): 1}
    assert world.show(names.PARALLEL_SIZE)[SERVER, "data"] == 2
    steps = (RankSteps(SERVER, "", 110, 5.0, 1.0), RankSteps(SERVER, "", 111, 6.0, 1.0))
    world.context.board.post(Steps(steps))
    assert world.show(names.RANK_STEPS_TOTAL) == {(SERVER, "DP0"): 5, (SERVER, "DP1"): 6}


def test_the_rank_of_an_engine_is_added_once(tmp_path: Path, clock: FakeClock) -> None:
    world = World(tmp_path, clock)
    world.add(100, "DP1", "engine_core")
    world.add(110, "TP0", ppid=100)
    world.add(111, "DP1_TP1_EP3", ppid=100)
    for _ in range(15):
        shown = world.show(names.RANK_STRAGGLER)
    assert set(shown) == {(SERVER, "DP1_TP0"), (SERVER, "DP1_TP1_EP3")}


def test_a_server_with_one_rank_is_not_looked_at(tmp_path: Path, clock: FakeClock) -> None:
    world = World(tmp_path, clock)
    world.add(100, "")
    for _ in range(15):
        assert world.show(names.RANK_STRAGGLER) == {}
    assert world.show(names.PARALLEL_RANKS) == {(SERVER,): 1}


def test_ranks_of_an_unknown_server_are_counted_and_not_compared(tmp_path: Path, clock: FakeClock) -> None:
    world = World(tmp_path, clock)
    world.add(100, "TP0", server="")
    world.add(101, "TP1", server="")
    for _ in range(15):
        assert world.show(names.RANK_STRAGGLER) == {}
    assert world.show(names.PARALLEL_RANKS) == {("",): 2}


def test_a_new_process_in_the_place_of_an_old_one_begins_anew(world: World) -> None:
    for _ in range(15):
        world.set(101, state="T")
        world.show(names.RANK_STRAGGLER)
    del world.processes[101]
    world.proc.end(101)
    world.add(102, "TP1")
    assert world.show(names.RANK_STRAGGLER) == {(SERVER, "TP0"): 0}
    for _ in range(12):
        shown = world.show(names.RANK_STRAGGLER)
    assert shown == {(SERVER, "TP0"): 0, (SERVER, "TP1"): 0}


def test_a_process_that_ends_between_two_looks_is_no_fault(world: World) -> None:
    world.show(names.RANK_STRAGGLER)
    world.proc.end(101)
    assert world.show(names.PARALLEL_RANKS) == {(SERVER,): 2}


def test_steps_that_the_ranks_count_tell_skew_efficiency_and_who_is_slow(world: World) -> None:
    for at in range(20):
        world.context.board.post(
            Steps(
                (
                    RankSteps(SERVER, "TP0", 1, 100.0 * at, 1.5 * at, 1.0 * at, 0.5 * at),
                    RankSteps(SERVER, "TP1", 2, 100.0 * at, 1.5 * at, 1.5 * at, 0.0),
                )
            )
        )
        world.show(names.RANK_STRAGGLER)
    assert world.show(names.RANK_STRAGGLER_INFO) == {(SERVER, "TP1", "slow_steps"): 1}
    assert world.show(names.STEP_SKEW_RATIO) == {(SERVER,): pytest.approx(0.5)}
    assert world.show(names.PARALLEL_EFFICIENCY_RATIO) == {(SERVER,): pytest.approx(2.5 / 3)}
    assert world.show(names.RANK_SYNC_SECONDS_TOTAL)[SERVER, "TP0"] == 9.5


def test_without_the_in_process_part_steps_are_absent(world: World) -> None:
    for _ in range(15):
        for family in (names.STEP_SKEW_RATIO, names.PARALLEL_EFFICIENCY_RATIO, names.RANK_STEPS_TOTAL):
            assert world.show(family) == {}


def test_a_mix_of_gpu_models_is_counted(world: World) -> None:
    cards = [GpuSight("0", "a", "H100", pids={100: 1}), GpuSight("1", "b", "A100", pids={101: 1})]
    world.context.board.post(Gpus((*cards, GpuSight("2", "c", "L4", pids={999: 1}))))
    assert world.show(names.PARALLEL_GPU_MODELS) == {(SERVER,): 2}


def test_roles_are_those_of_the_configuration(tmp_path: Path, clock: FakeClock) -> None:
    world = World(tmp_path, clock, ("localhost:8000=prefill", "gpu2:8000=decode"))
    assert world.show(names.SERVER_ROLE_INFO) == {(SERVER, "prefill"): 1, ("gpu2:8000", "decode"): 1}


@pytest.mark.parametrize(
    ("role", "words"),
    [("gpu2:8000=both", "roles: prefill, decode"), ("gpu9:8000=decode", "no target 'gpu9:8000'"), ("x", "is not")],
)
def test_a_role_that_makes_no_sense_is_refused(tmp_path: Path, clock: FakeClock, role: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        World(tmp_path, clock, (role,))


def test_without_ranks_there_is_no_data(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(NoData, match="no rank"):
        World(tmp_path, clock).show(names.RANK_STRAGGLER)


def test_a_bad_role_is_told_before_anything_runs() -> None:
    options = {"roles": Value([Value("gpu1:8000=prefil", "line 7")], "line 6")}
    with pytest.raises(ConfigError, match=r"^line 7: collectors\.distributed\.roles: 'gpu1:8000=prefil' is not"):
        DistributedCollector.check(Config(collectors={"distributed": CollectorConfig(options=options)}), "distributed")
