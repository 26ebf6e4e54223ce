"""Orphans are what the supervisor's view lists, and nothing else."""

from __future__ import annotations

from types import ModuleType

import pytest

from vllm_healer.detectors.orphans import Orphans
from vllm_healer.model import Diagnosis, ProcessRef, RunState


@pytest.mark.parametrize("name", ["VllmProcessOrphaned", "VllmDown"])
def test_finds_processes_that_outlived_their_api_server(cases: ModuleType, name: str) -> None:
    left = cases.supervisor(orphans=(cases.ENGINE, cases.WORKER))
    assert Orphans().detect(cases.incident(name), cases.facts(supervisor=left)) == Diagnosis(
        "orphans",
        "2 processes outlived their API server: engine_core pid 4712, worker pid 4713",
        frozenset({name}),
    )


def test_one_is_said_as_one(cases: ModuleType) -> None:
    found = Orphans().detect(cases.incident(), cases.facts(supervisor=cases.supervisor(orphans=(cases.ENGINE,))))
    assert found is not None
    assert found.evidence == "1 process outlived its API server: engine_core pid 4712"


def test_a_large_tree_is_cut_in_words(cases: ModuleType) -> None:
    many = tuple(ProcessRef(5000 + rank, 1, "worker", "VLLM::Worker") for rank in range(6))
    found = Orphans().detect(cases.incident(), cases.facts(supervisor=cases.supervisor(orphans=many)))
    assert found is not None
    assert found.evidence.endswith("worker pid 5003 and 2 more")


def test_is_quiet_without_orphans_even_when_the_metric_says_so(cases: ModuleType) -> None:
    facts = cases.facts(signals=cases.signals(orphans=2.0))
    assert Orphans().detect(cases.incident("VllmProcessOrphaned"), facts) is None


def test_is_quiet_when_the_supervisor_does_not_answer(cases: ModuleType) -> None:
    assert Orphans().detect(cases.incident("VllmProcessOrphaned"), cases.facts(supervisor=None)) is None


def test_another_alert_supports_no_reaping(cases: ModuleType) -> None:
    facts = cases.facts(supervisor=cases.supervisor(orphans=(cases.ENGINE,)))
    found = Orphans().detect(cases.incident("HighLatency"), facts)
    assert found is not None
    assert found.supporting_alerts == frozenset()


OLD = (
    ProcessRef(3000, 50_000, "api_server", "vllm serve m"),
    ProcessRef(3001, 50_100, "engine_core", "VLLM::EngineCore"),
)


def beside(cases: ModuleType, state: RunState = RunState.STARTING, **changes: object) -> Diagnosis | None:
    """A server that outlived its supervisord, beside the one that is supervised now."""
    facts = cases.facts(supervisor=cases.supervisor(state, unsupervised=OLD), **changes)
    return Orphans().detect(cases.incident(), facts)


def test_finds_an_unsupervised_server_that_serves_nobody_beside_the_supervised_one(cases: ModuleType) -> None:
    """S02: it keeps port and memory from the one that is supervised."""
    words = (
        "pid 3000 of an earlier start lives on, unknown to its supervisor, "
        "beside the one that is supervised (starting), and serves nobody"
    )
    alerts = frozenset({"VllmEngineStalled"})
    assert beside(cases) == Diagnosis("orphans", words, alerts)  # it hangs
    assert beside(cases, look=cases.REFUSED) == Diagnosis("orphans", words, alerts)


def test_is_quiet_while_the_unsupervised_server_serves(cases: ModuleType) -> None:
    assert beside(cases, look=cases.WELL, signals=cases.signals(stalled=0.0)) is None
    assert beside(cases, look=cases.SATURATED) is None
    assert beside(cases, signals=cases.signals(stalled=0.0)) is None


def test_leaves_it_to_a_restart_where_nothing_is_supervised(cases: ModuleType) -> None:
    """That one ends it, and starts the supervised one, in one action."""
    assert beside(cases, RunState.FATAL) is None
