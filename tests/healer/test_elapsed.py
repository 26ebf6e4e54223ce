"""How long ago, across clock steps and reboots."""

from __future__ import annotations

from vllm_healer.elapsed import elapsed
from vllm_healer.model import Instant

THEN = Instant(wall=1000.0, boot=500.0, boot_id="a")


def test_counts_the_boot_clock_within_one_boot() -> None:
    assert elapsed(THEN, Instant(1060.0, 560.0, "a")) == 60.0


def test_does_not_care_when_the_wall_clock_steps_back_ten_minutes() -> None:
    assert elapsed(THEN, Instant(1060.0 - 600.0, 560.0, "a")) == 60.0


def test_does_not_care_when_the_wall_clock_jumps_ahead() -> None:
    assert elapsed(THEN, Instant(1060.0 + 86_400.0, 560.0, "a")) == 60.0


def test_takes_the_wall_difference_after_a_reboot() -> None:
    assert elapsed(THEN, Instant(1100.0, 300.0, "b")) == 100.0


def test_claims_no_more_than_this_boot_has_lasted() -> None:
    assert elapsed(THEN, Instant(1000.0 + 86_400.0, 40.0, "b")) == 40.0


def test_is_zero_after_a_reboot_with_the_wall_clock_behind() -> None:
    assert elapsed(THEN, Instant(400.0, 300.0, "b")) == 0.0


def test_is_never_negative() -> None:
    assert elapsed(THEN, Instant(1000.0, 499.0, "a")) == 0.0
