"""Who was left behind. Trees as they were seen on real hosts: pid, parent, title."""

from __future__ import annotations

from collections.abc import Mapping

from vllm_exporter.facts.values import Ref
from vllm_exporter.subjects.processes.lineage import (
    Living,
    Process,
    Record,
    choose_mains,
    choose_orphans,
    find_hosts,
    remember,
)
from vllm_exporter.subjects.processes.titles import UNREADABLE, Title, parse_title

INIT = (1, 0, b"/sbin/init\0")
SERVER = (100, 50, b"/venv/bin/python\0/venv/bin/vllm\0serve\0m\0")
SHELL = (50, 1, b"bash\0")
ENGINE = (200, 100, b"VLLM::EngineCore\0")
WORKER = (300, 200, b"VLLM::Worker_TP0\0")
HEALTHY = (INIT, SHELL, SERVER, ENGINE, WORKER)

Row = tuple[int, int, bytes]


def living(*rows: Row, starts: Mapping[int, int] | None = None) -> Living:
    """Start times are 10 times the pid, unless given."""
    refs = [Ref(pid, (starts or {}).get(pid, pid * 10)) for pid, _, _ in rows]
    return {row[0]: Process(ref, row[1], parse_title(row[2])) for row, ref in zip(rows, refs, strict=True)}


def records(*rows: Row) -> dict[Ref, Record]:
    return remember({}, living(*rows), {Ref(100, 1000): "gpu1:8000"})


def orphans(known: Mapping[Ref, Record], now: Living) -> list[int]:
    return [record.ref.pid for record in choose_orphans(remember(known, now, {}), now)]


def test_a_healthy_tree_has_no_orphans() -> None:
    assert orphans(records(*HEALTHY), living(*HEALTHY)) == []


def test_every_process_of_a_tree_belongs_to_the_server_of_its_api_server() -> None:
    found = records(*HEALTHY)
    assert {(record.role, record.rank, record.server) for record in found.values()} == {
        ("api_server", "", "gpu1:8000"),
        ("engine_core", "", "gpu1:8000"),
        ("worker", "TP0", "gpu1:8000"),
    }


def test_an_engine_whose_api_server_was_killed_is_an_orphan_with_its_workers_and_keeps_its_server() -> None:
    second = (301, 200, b"VLLM::Worker_TP1\0")
    now = living(INIT, (200, 1, ENGINE[2]), WORKER, second)
    kept = remember(records(*HEALTHY, second), now, {})
    assert {(orphan.ref.pid, orphan.server) for orphan in choose_orphans(kept, now)} == {
        (200, "gpu1:8000"),
        (300, "gpu1:8000"),
        (301, "gpu1:8000"),
    }


def test_an_engine_that_somebody_owns_takes_no_worker_with_it() -> None:
    """One of two engines was left behind; and a program of Python has taken in the other."""
    tree = (INIT, SHELL, SERVER, ENGINE, WORKER, (201, 100, ENGINE[2]), (310, 201, WORKER[2]))
    now = living(INIT, (40, 1, b"python3\0main.py\0"), (200, 1, ENGINE[2]), WORKER, (201, 40, ENGINE[2]), tree[6])
    assert sorted(orphans(records(*tree), now)) == [200, 300]


def test_a_helper_below_an_orphan_is_none_itself() -> None:
    helper = (302, 200, b"/venv/bin/python\0-c\0from multiprocessing.resource_tracker import main\0")
    assert orphans(records(*HEALTHY, helper), living(INIT, (200, 1, ENGINE[2]), helper)) == [200]


def test_a_worker_whose_engine_was_killed_is_an_orphan() -> None:
    assert orphans(records(*HEALTHY), living(INIT, SHELL, SERVER, (300, 1, WORKER[2]))) == [300]


def test_the_new_server_at_the_same_port_has_no_part_in_the_orphans_of_the_old_one() -> None:
    now = living(INIT, (200, 1, ENGINE[2]), (900, 1, SERVER[2]), (901, 900, ENGINE[2]))
    assert orphans(records(*HEALTHY), now) == [200]


def test_an_id_that_was_given_to_another_process_is_not_the_recorded_parent() -> None:
    now = living(INIT, (100, 1, b"bash\0"), (200, 1, ENGINE[2]), starts={100: 99999})
    assert orphans(records(*HEALTHY), now) == [200]


def test_unknown_parentage_is_not_an_orphan() -> None:
    """The exporter started after the API server had died."""
    left = (INIT, (200, 1, ENGINE[2]))
    assert orphans(records(*left), living(*left)) == []


def test_vllm_as_process_1_of_a_container_has_no_orphans() -> None:
    tree = ((1, 0, SERVER[2]), (7, 1, ENGINE[2]), (8, 7, WORKER[2]))
    assert orphans(records(*tree), living(*tree)) == []
    assert orphans(records(*tree), living(tree[0], (8, 1, WORKER[2]))) == []


def test_an_engine_of_a_python_program_is_an_orphan_only_when_the_program_is_gone() -> None:
    tree = (INIT, (60, 50, b"python3\0offline.py\0"), (61, 60, ENGINE[2]))
    assert orphans(records(*tree), living(*tree)) == []
    assert orphans(records(*tree), living(INIT, (61, 1, ENGINE[2]))) == [61]


def test_an_engine_that_a_ray_actor_or_a_python_program_took_over_is_not_an_orphan() -> None:
    for owner in (b"ray::RayWorkerWrapper\0", b"python3\0main.py\0"):
        assert orphans(records(*HEALTHY), living((40, 1, owner), (200, 40, ENGINE[2]))) == []


def test_an_engine_that_only_a_supervisor_adopted_is_an_orphan() -> None:
    supervisord = (1, 0, b"/usr/bin/python3\0/usr/bin/supervisord\0")
    assert orphans(records(*HEALTHY), living(supervisord, (200, 1, ENGINE[2]))) == [200]


def test_a_parent_that_cannot_be_read_or_seen_is_given_the_benefit_of_the_doubt() -> None:
    known = records(*HEALTHY)
    unreadable = {**living((200, 1, ENGINE[2])), 1: Process(Ref(1, 10), 0, UNREADABLE)}
    assert orphans(known, unreadable) == []
    assert orphans(known, living((200, 0, ENGINE[2]))) == []


def test_coordinators_and_api_servers_are_never_orphans() -> None:
    tree = (INIT, SERVER, (210, 100, b"VLLM::DPCoordinator\0"), (211, 100, b"VLLM::APIServer_0\0"))
    left = living(INIT, (210, 1, b"VLLM::DPCoordinator\0"), (211, 1, b"VLLM::APIServer_0\0"))
    assert orphans(records(*tree), left) == []


def test_a_process_that_ended_is_forgotten() -> None:
    assert remember(records(*HEALTHY), living(INIT), {}) == {}


def test_forks_of_releases_that_do_not_rename_are_engine_and_worker() -> None:
    tree = (INIT, SERVER, (200, 100, SERVER[2]), (300, 200, SERVER[2]))
    known = records(*tree)
    assert [record.role for record in known.values()] == ["api_server", "engine_core", "worker"]
    assert orphans(known, living(INIT, (200, 1, SERVER[2]), tree[3])) == [200, 300]


def test_a_fork_takes_the_role_of_its_title_once_it_is_renamed() -> None:
    known = records(INIT, SERVER, (200, 100, SERVER[2]))
    after = remember(known, living(INIT, SERVER, (200, 100, b"VLLM::DPCoordinator\0")), {})
    assert after[Ref(200, 2000)].role == "coordinator"


def test_processes_that_are_not_of_vllm_are_not_remembered() -> None:
    assert remember({}, {1: Process(Ref(1, 10), 0, Title(owner=True))}, {}) == {}


def mains(before: Mapping[str, Ref], *rows: Row) -> dict[str, Ref]:
    """Every API server among the rows is of one server."""
    now = living(*rows)
    servers = {process.ref: "gpu1:8000" for process in now.values() if process.title.role == "api_server"}
    return choose_mains(remember({}, now, servers), before)


def test_the_first_api_server_counts_for_restarts_not_its_children() -> None:
    several = (INIT, SERVER, (211, 100, b"VLLM::APIServer_0\0"), (212, 100, b"VLLM::APIServer_1\0"))
    first = mains({}, *several)
    assert first == {"gpu1:8000": Ref(100, 1000)}
    assert mains(first, *several) == first


def test_a_new_api_server_in_the_place_of_one_that_is_gone_is_another() -> None:
    before = {"gpu1:8000": Ref(100, 1000)}
    assert mains(before, INIT) == before
    assert mains(before, INIT, (900, 1, SERVER[2])) == {"gpu1:8000": Ref(900, 9000)}


def test_a_second_api_server_beside_the_first_is_none_in_its_place() -> None:
    assert mains({"gpu1:8000": Ref(100, 1000)}, INIT, SERVER, (900, 1, SERVER[2])) == {"gpu1:8000": Ref(100, 1000)}


def test_children_that_outlive_the_first_api_server_are_not_a_restart() -> None:
    now = living(INIT, (211, 1, b"VLLM::APIServer_0\0"))
    record = Record(Ref(211, 2110), "api_server", "0", "gpu1:8000", Ref(100, 1000))
    assert now[211].ref == record.ref
    assert choose_mains({record.ref: record}, {"gpu1:8000": Ref(100, 1000)}) == {"gpu1:8000": Ref(100, 1000)}


def ranks(known: Mapping[Ref, Record]) -> dict[int, str]:
    return {ref.pid: record.rank for ref, record in known.items() if record.role == "worker"}


def test_workers_of_several_engines_have_the_rank_of_their_engine() -> None:
    """As vLLM 0.32 with --data-parallel-size 2 and a dense model names them."""
    engines = ((200, 100, b"VLLM::EngineCore_DP0\0"), (201, 100, b"VLLM::EngineCore_DP1\0"))
    workers = ((300, 200, b"VLLM::Worker\0"), (301, 201, b"VLLM::Worker\0"), (302, 201, b"VLLM::Worker_TP1\0"))
    known = records(INIT, SERVER, *engines, *workers)
    assert ranks(known) == {300: "DP0", 301: "DP1", 302: "DP1_TP1"}
    left = remember(known, living(INIT, SERVER, engines[0], workers[0], (301, 1, b"VLLM::Worker\0")), {})
    assert ranks(left) == {300: "DP0", 301: "DP1"}


def test_a_rank_of_its_own_is_not_changed() -> None:
    engine = (200, 100, b"VLLM::EngineCore_DP1\0")
    assert ranks(records(INIT, SERVER, engine, (300, 200, b"VLLM::Worker_DP1_EP3\0"))) == {300: "DP1_EP3"}
    assert ranks(records(*HEALTHY)) == {300: "TP0"}


def test_an_engine_of_a_package_that_extends_vllm_is_left_behind_like_any_other() -> None:
    """T02: it held the GPU after its server was killed (vllm-project/vllm#43060)."""
    stage = (200, 100, b"VLLM::StageEngineCoreProc_DP0\0")
    after = (200, 1, b"VLLM::StageEngineCoreProc_DP0\0")
    omni = (100, 50, b"python3\0-m\0vllm_omni.entrypoints.cli.main\0serve\0m\0--omni\0")
    known = records(INIT, SHELL, omni, stage)
    assert known[Ref(200, 2000)].server == "gpu1:8000"
    assert orphans(known, living(INIT, SHELL, after)) == [200]


def test_the_engine_of_a_program_that_wraps_vllm_belongs_to_its_server() -> None:
    """T06."""
    dynamo = (100, 50, b"python3\0-m\0dynamo.vllm\0--model\0m\0")
    assert records(INIT, SHELL, dynamo, ENGINE)[Ref(200, 2000)].server == "gpu1:8000"


FRONTEND = (150, 100, b"/venv/lib/vllm/vllm-rs\0frontend\0--listen-fd\018\0")
RUST = (100, 50, b"/venv/bin/vllm-rs\0serve\0m\0")
STARTER = (150, 100, b"python3\0-m\0vllm.entrypoints.cli.headless_engine\0--model\0m\0")


def test_the_frontend_in_rust_is_an_api_server_below_the_first_one() -> None:
    """VLLM_USE_RUST_FRONTEND=1 (vllm-project/vllm#44183): it answers the requests."""
    tree = (*HEALTHY, FRONTEND)
    found = records(*tree)[Ref(150, 1500)]
    assert (found.role, found.server) == ("api_server", "gpu1:8000")
    assert mains({}, *tree) == {"gpu1:8000": Ref(100, 1000)}
    assert orphans(records(*tree), living(*tree)) == []


def test_engines_that_a_server_in_rust_started_are_left_behind_when_it_is_killed() -> None:
    """`vllm-rs serve` starts a program of Python for them, which may outlive it with all their memory."""
    tree = (INIT, SHELL, RUST, STARTER, (200, 150, ENGINE[2]), WORKER)
    found = records(*tree)
    assert {record.server for record in found.values()} == {"gpu1:8000"}
    assert [found[Ref(pid, pid * 10)].role for pid in (100, 150, 200)] == ["api_server", "engine_core", "engine_core"]
    assert orphans(found, living(*tree)) == []
    after = living(INIT, SHELL, (150, 1, STARTER[2]), (200, 150, ENGINE[2]), WORKER)
    assert sorted(orphans(found, after)) == [150, 200, 300]


def test_a_program_of_any_name_that_was_joined_is_the_api_server() -> None:
    kserve = (100, 50, b"python\0-m\0huggingfaceserver\0--model_id=m\0")
    found = records(INIT, SHELL, kserve, ENGINE, WORKER)
    assert {record.ref.pid: (record.role, record.server) for record in found.values()} == {
        100: ("api_server", "gpu1:8000"),
        200: ("engine_core", "gpu1:8000"),
        300: ("worker", "gpu1:8000"),
    }
    assert sorted(orphans(found, living(INIT, SHELL, (200, 1, ENGINE[2]), WORKER))) == [200, 300]


def test_only_a_program_with_an_engine_below_it_is_its_host() -> None:
    script, idle = (100, 50, b"python\0serve.py\0"), (101, 50, b"python\0train.py\0")
    assert find_hosts(living(INIT, SHELL, script, idle, ENGINE, WORKER)) == {Ref(100, 1000)}
    assert find_hosts(living(*HEALTHY)) == set()  # its title says so already
    assert find_hosts(living(INIT, SHELL, (200, 50, ENGINE[2]))) == set()
    assert find_hosts(living(INIT, (100, 1, b"/usr/bin/python3\0/usr/bin/supervisord\0"), ENGINE)) == set()
