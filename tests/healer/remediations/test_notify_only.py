"""Notify only: says why nothing is done, and waits for what is starting."""

from __future__ import annotations

from types import ModuleType

import pytest

from vllm_healer.model import Diagnosis
from vllm_healer.remediations.notify_only import NotifyOnly


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("overload", "a restart would lose the queue and the cache and cure nothing: shed load or add a replica"),
        ("starting", "its supervisor is starting it: waiting for it to answer"),
        ("none", "nothing to do"),
        ("unknown", "no remedy is known for this: a person should look"),
    ],
)
def test_says_why_nothing_is_done(cases: ModuleType, cause: str, words: str) -> None:
    assert NotifyOnly().plan(cases.incident(), Diagnosis(cause, ""), cases.facts()).reason == words


def test_says_what_a_person_does_where_the_detector_knows(cases: ModuleType) -> None:
    found = Diagnosis("load_failure", "its model cannot be loaded", advice="free the disk")
    assert NotifyOnly().plan(cases.incident(), found, cases.facts()).reason == "free the disk"


def test_is_never_destructive(cases: ModuleType) -> None:
    assert NotifyOnly().plan(cases.incident(), Diagnosis("unknown", ""), cases.facts()).destructive is False


def test_waits_only_for_what_is_starting(cases: ModuleType) -> None:
    waits = {
        cause: NotifyOnly().plan(cases.incident(), Diagnosis(cause, ""), cases.facts()).verify
        for cause in sorted(NotifyOnly.causes)
    }
    assert waits == {"none": False, "overload": False, "starting": True, "unknown": False}


def test_an_unlisted_server_has_no_pool(cases: ModuleType) -> None:
    plan = NotifyOnly().plan(cases.incident(), Diagnosis("unknown", ""), cases.facts(target=None, supervisor=None))
    assert (plan.pool, plan.incarnation) == ("", "")
