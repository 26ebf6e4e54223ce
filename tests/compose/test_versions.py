"""Prometheus and Alertmanager of another generation on the same volumes, in one story."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

pytestmark = [pytest.mark.compose, pytest.mark.timeout(400)]

OWN = 'up{job="prometheus"}'


def version(stack: Any) -> str:
    """Of the Prometheus that scrapes itself now."""
    found = stack.query("prometheus_build_info and on () (time() - timestamp(prometheus_build_info) < 10)")
    return str(found[-1]["metric"]["version"]) if found else ""


def samples(stack: Any) -> float:
    """Of Prometheus' scrapes of itself, of whatever generation."""
    return float(stack.value(f"count_over_time({OWN}[1h])") or 0)


def first_sample(stack: Any) -> float:
    return float(stack.value(f"min_over_time(timestamp({OWN})[1h:5s])"))


def test_an_upgrade_keeps_samples_and_silences(old_stack: Any, world: ModuleType) -> None:
    world.wait_for(lambda: samples(old_stack) >= 2, "some samples")
    old_stack.silence("set before the upgrade")
    began = first_sample(old_stack)
    before = samples(old_stack)
    old_stack.make("up")
    world.wait_for(lambda: samples(old_stack) > before, "more samples")
    assert first_sample(old_stack) == pytest.approx(began, abs=5.0)
    assert old_stack.silences() == ["set before the upgrade"]
    assert "2.42" not in version(old_stack)


def test_going_back_keeps_them_too(old_stack: Any, world: ModuleType) -> None:
    old_stack.silence("set after the upgrade")
    began = first_sample(old_stack)
    before = samples(old_stack)
    old_stack.make("up", **world.OLDER)
    world.wait_for(lambda: samples(old_stack) > before, "more samples")
    assert first_sample(old_stack) == pytest.approx(began, abs=5.0)
    assert sorted(old_stack.silences()) == ["set after the upgrade", "set before the upgrade"]
