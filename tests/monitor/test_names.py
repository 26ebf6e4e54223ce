"""Label values that clients choose: few, safe, and of those who matter."""

from __future__ import annotations

import random

import pytest

from vllm_monitor.names import LONGEST, BoundedNames, safe


def test_the_first_ones_have_their_names_and_the_rest_is_other() -> None:
    names = BoundedNames("none", most=4)
    assert [names.name(one, True) for one in ("a", "b", "c", "a")] == ["a", "other", "other", "a"]
    assert names.name("none", False) == "none"


def test_who_was_never_answered_takes_no_place() -> None:
    names = BoundedNames(most=4)
    assert {names.name(f"stranger{n}", False) for n in range(1000)} == {"other"}
    assert names.name("a", True) == "a"


def test_a_large_tenant_gets_its_name_though_strangers_came_first() -> None:
    names, dice = BoundedNames(most=8), random.Random(1)
    for number in range(5000):
        names.name("large" if dice.random() < 0.3 else f"stranger{number}", True)
    assert names.name("large", True) == "large"
    assert names.name("stranger4999", True) == "other"


def test_memory_is_bounded_whatever_is_sent() -> None:
    names = BoundedNames(most=8)
    shown = {names.name(f"stranger{number % 5000}", True) for number in range(50_000)}
    assert len(shown) <= 9
    assert len(names._counts) <= 8


@pytest.mark.parametrize(
    ("text", "shown"),
    [("acme", "acme"), ("a b", "a_b"), ('x"} or {y="', "x___or__y__"), ("é\n\t\0", "____"), ("x" * 999, "x" * LONGEST)],
)
def test_a_name_means_nothing_to_a_query(text: str, shown: str) -> None:
    assert safe(text) == shown
