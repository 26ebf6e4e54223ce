"""Orphans are what the supervisor's view lists, and nothing else."""

from __future__ import annotations

from types import ModuleType

import pytest

from vllm_healer.detectors.orphans import Orphans
from vllm_healer.model import Diagnosis, ProcessRef


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
