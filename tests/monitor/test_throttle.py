"""Who is let in, by a fake clock."""

from __future__ import annotations

import random
from typing import Any

import pytest

from vllm_monitor.limits import Limit
from vllm_monitor.outcomes import Exchange
from vllm_monitor.throttle import Refusal, Task, Throttle, charge, release, share


class Scene:
    """The loop of one process."""

    def __init__(self, *limits: Limit, **task: Any) -> None:
        self.throttle = Throttle()
        self.now = 100.0
        self.inside: list[Exchange] = []
        self.order(*limits, **task)

    def order(self, *limits: Limit, **task: Any) -> None:
        self.throttle.task = Task(limits, **{"until": 1000.0, "generation": 1, **task})

    def ask(self, **about: Any) -> Refusal | None:
        exchange = Exchange(self.now, **about)
        task = self.throttle.in_force(self.now)
        refusal = None if task is None else self.throttle.refuses(exchange, self.inside, task, self.now)
        if refusal is None:
            self.inside.append(exchange)
        return refusal

    def asks(self, times: int, **about: Any) -> int:
        """How many of them are let in."""
        return sum(self.ask(**about) is None for _ in range(times))

    def end(self) -> None:
        release(self.inside.pop(0))


def test_without_an_order_everybody_is_let_in() -> None:
    scene = Scene()
    scene.throttle.task = None
    assert scene.asks(1000) == 1000


def test_so_many_at_once_and_another_when_one_ends() -> None:
    scene = Scene(Limit(concurrency=3))
    assert scene.asks(5) == 3
    refusal = scene.ask()
    assert refusal is not None
    assert (refusal.reason, refusal.retry_after, refusal.status) == ("concurrency", 1, 429)
    scene.end()
    assert scene.asks(2) == 1
    assert scene.throttle.refused["concurrency"] == 4


def test_none_at_once_refuses_everybody() -> None:
    assert Scene(Limit(concurrency=0)).asks(3) == 0
    assert Scene(Limit(requests_per_second=0.0)).asks(3) == 0


def test_requests_that_were_there_before_the_order_count() -> None:
    scene = Scene()
    scene.throttle.task = None
    assert scene.asks(4) == 4
    scene.order(Limit(concurrency=5))
    assert scene.asks(3) == 1
    for _ in range(5):
        scene.end()
    assert scene.asks(9) == 5


def test_a_new_order_counts_anew_and_an_ended_one_leaves_nothing() -> None:
    scene = Scene(Limit(concurrency=2))
    assert scene.asks(3) == 2
    scene.throttle.task = None
    assert scene.asks(3) == 3
    scene.order(Limit(concurrency=6), generation=2)
    assert scene.asks(3) == 1


def test_a_rate_is_kept_over_time_with_a_second_of_it_at_once() -> None:
    scene = Scene(Limit(requests_per_second=5.0))
    assert scene.asks(20) == 5
    let_in = 0
    for _ in range(1000):
        scene.now += 0.02
        let_in += scene.asks(3)
    assert let_in == pytest.approx(100, abs=1)
    refusal = scene.ask()
    assert refusal is not None
    assert refusal.reason == "requests"
    assert 0 < refusal.retry < 0.21


def test_a_rate_below_one_a_second_lets_one_in_and_says_when_the_next_may_come() -> None:
    scene = Scene(Limit(requests_per_second=0.1))
    assert scene.asks(3) == 1
    refusal = scene.ask()
    assert refusal is not None
    assert refusal.retry_after == 10
    scene.now += 9.9
    assert scene.ask() is not None
    scene.now += 0.2
    assert scene.ask() is None


def test_tokens_hold_back_the_next_requests_and_not_those_on_their_way() -> None:
    scene = Scene(Limit(tokens_per_second=100.0))
    assert scene.asks(10) == 10
    charge(scene.inside[0], 150.0)
    charge(scene.inside[0], 400.0)  # of which 150 are known
    refusal = scene.ask()
    assert refusal is not None
    assert refusal.reason == "tokens"
    assert refusal.retry == pytest.approx(3.0)
    scene.now += 3.01
    assert scene.asks(10) == 10


def test_a_long_wait_is_not_said() -> None:
    scene = Scene(Limit(tokens_per_second=1.0))
    assert scene.ask() is None
    charge(scene.inside[0], 1e6)
    refusal = scene.ask()
    assert refusal is not None
    assert refusal.retry_after == 60


def test_limits_hold_for_whom_they_name_only() -> None:
    scene = Scene(Limit(concurrency=1, tenant="acme"), Limit(concurrency=2, model="m"), Limit(4, priority_from=5))
    assert scene.asks(3, tenant="acme", model="x") == 1
    assert scene.asks(9, tenant="b", model="m") == 2
    assert scene.asks(9, tenant="b", model="x", priority=5) == 4
    assert scene.asks(9, tenant="b", model="x") == 9


def test_a_refused_request_takes_nothing_from_other_limits() -> None:
    scene = Scene(Limit(concurrency=2), Limit(concurrency=0, tenant="acme"))
    assert scene.asks(5, tenant="acme") == 0
    assert scene.asks(5, tenant="b") == 2


def test_it_ends_by_itself() -> None:
    scene = Scene(Limit(concurrency=0), until=130.0)
    scene.now = 129.9
    assert scene.ask() is not None
    scene.now = 130.0
    assert scene.ask() is None


@pytest.mark.parametrize("most", [0, 1, 2, 3, 7, 16])
@pytest.mark.parametrize("of", [1, 2, 3, 5])
def test_the_shares_of_all_processes_are_the_limit(most: int, of: int) -> None:
    shares = [share(most, Task((), 1.0, place=place, of=of)) for place in range(of)]
    assert sum(shares) == most
    assert max(shares) - min(shares) <= 1


def test_two_processes_together_keep_to_the_limit() -> None:
    limits = (Limit(concurrency=5), Limit(requests_per_second=1000.0))
    first, second = (Scene(*limits, place=place, of=2) for place in range(2))
    assert (first.asks(9), second.asks(9)) == (3, 2)
    rates = [Scene(Limit(requests_per_second=10.0), place=place, of=2) for place in range(2)]
    assert [scene.asks(50) for scene in rates] == [5, 5]


def test_when_the_share_changes_what_is_on_its_way_still_counts() -> None:
    scene = Scene(Limit(concurrency=4))
    assert scene.asks(9) == 4
    scene.order(Limit(concurrency=4), of=2)
    scene.end()
    scene.end()
    assert scene.asks(3) == 0
    scene.order(Limit(concurrency=4))
    assert scene.asks(3) == 2


def test_canaries_are_let_in_as_many_as_are_ours() -> None:
    throttle = Throttle()
    assert sum(throttle.lets_canary_in(100.0) for _ in range(1000)) == 5
    assert all(throttle.lets_canary_in(now / 2) for now in range(300, 400))


def test_no_order_of_events_makes_counts_wrong() -> None:
    dice = random.Random(5)
    scene = Scene(Limit(concurrency=3))
    for generation in range(2, 3000):
        what = dice.randrange(4)
        if what == 0:
            scene.order(Limit(concurrency=dice.randrange(6)), generation=generation)
        elif what == 1:
            scene.throttle.task = None
        elif what == 2 and scene.inside:
            scene.end()
        else:
            scene.ask()
        scene.now += dice.random()
        scene.throttle.task = scene.throttle.task and Task(scene.throttle.task.limits, 1e9, generation=generation)
    while scene.inside:
        scene.end()
    scene.order(Limit(concurrency=4), generation=9999, until=1e9)
    assert scene.asks(9) == 4
