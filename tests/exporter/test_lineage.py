"""Who was left behind. Trees as they were seen on real hosts: pid, parent, title."""

from __future__ import annotations

from collections.abc import Mapping

from vllm_exporter.lineage import Living, Process, Record, Ref, choose_orphans, remember
from vllm_exporter.titles import UNREADABLE, Title, parse_title

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


def test_an_engine_whose_api_server_was_killed_is_an_orphan_and_keeps_its_server() -> None:
    now = living(INIT, (200, 1, ENGINE[2]), WORKER)
    kept = remember(records(*HEALTHY), now, {})
    assert [(orphan.ref.pid, orphan.server) for orphan in choose_orphans(kept, now)] == [(200, "gpu1:8000")]


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
    assert orphans(known, living(INIT, (200, 1, SERVER[2]), tree[3])) == [200]


def test_a_fork_takes_the_role_of_its_title_once_it_is_renamed() -> None:
    known = records(INIT, SERVER, (200, 100, SERVER[2]))
    after = remember(known, living(INIT, SERVER, (200, 100, b"VLLM::DPCoordinator\0")), {})
    assert after[Ref(200, 2000)].role == "coordinator"


def test_processes_that_are_not_of_vllm_are_not_remembered() -> None:
    assert remember({}, {1: Process(Ref(1, 10), 0, Title(owner=True))}, {}) == {}
