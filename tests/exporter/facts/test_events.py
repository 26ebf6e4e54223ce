from __future__ import annotations

import sys
import threading
from dataclasses import replace

from tests.exporter import told
from tests.exporter.fakes import FakeClock
from vllm_exporter.facts.events import KEPT, Bus


def test_an_event_reaches_every_tap_once(clock: FakeClock) -> None:
    bus = Bus(clock)
    first, second = bus.subscribe(), bus.subscribe()
    bus.emit(told.xid(79))
    event = replace(told.xid(79), time=1_700_000_000.0)
    assert first.drain() == [event]
    assert first.drain() == []
    assert second.drain() == [event]


def test_a_tap_that_is_made_late_gets_the_last_events_before_it(clock: FakeClock) -> None:
    bus = Bus(clock)
    for number in range(KEPT + 1):
        bus.emit(told.line(f"event {number}"))
    assert [event.summary for event in bus.subscribe().drain()] == [f"event {number}" for number in range(1, KEPT + 1)]


def test_a_full_tap_drops_the_oldest_and_counts_them(clock: FakeClock) -> None:
    bus = Bus(clock)
    subscription = bus.subscribe(limit=2)
    for word in ("one", "two", "three"):
        bus.emit(told.line(word))
    assert [event.summary for event in subscription.drain()] == ["two", "three"]
    assert subscription.dropped == 1


def test_a_tap_made_while_events_come_in_misses_none(clock: FakeClock) -> None:
    bus = Bus(clock)

    def emit() -> None:
        for number in range(3000):
            bus.emit(told.line(str(number)))

    emitter = threading.Thread(target=emit)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads take turns within a call
    try:
        emitter.start()
        taps = [bus.subscribe(10_000) for _ in range(50)]
        emitter.join(10)
    finally:
        sys.setswitchinterval(before)
    for subscription in taps:
        heard = [int(event.summary) for event in subscription.drain()]
        assert heard == list(range(3000 - len(heard), 3000))


def test_an_event_may_have_happened_earlier(clock: FakeClock) -> None:
    bus = Bus(clock)
    subscription = bus.subscribe()
    bus.emit(told.exited(time=1_699_999_990.5))
    assert subscription.drain()[0].time == 1_699_999_990.5
