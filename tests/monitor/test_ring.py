"""The queue between vLLM's event loop and the thread that counts."""

from __future__ import annotations

from vllm_monitor.ring import Ring


def test_what_was_appended_is_taken_once_in_its_order() -> None:
    ring = Ring()
    ring.append("a", engine_idx=1)
    ring.append("b")
    assert [(arguments, named) for _, arguments, named in ring.take()] == [(("a",), {"engine_idx": 1}), (("b",), {})]
    assert list(ring.take()) == []


def test_a_ring_that_nobody_empties_keeps_the_newest_and_counts_the_others() -> None:
    ring = Ring(most=3)
    for number in range(10):
        ring.append(number)
    assert [arguments for _, arguments, _ in ring.take()] == [(7,), (8,), (9,)]
    assert ring.dropped == 7


def test_entries_carry_the_time_at_which_they_came() -> None:
    ring = Ring()
    ring.append()
    ring.append()
    first, second = (at for at, _, _ in ring.take())
    assert 0 < first <= second
