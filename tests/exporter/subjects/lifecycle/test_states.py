"""The table of states and what may follow what."""

from __future__ import annotations

import pytest

from vllm_exporter.subjects.lifecycle.states import DOWN, ENDING, NAMES, ORDER, RUNNING, STARTING, STATES
from vllm_exporter.subjects.lifecycle.transitions import allowed, followers


def test_has_42_states_each_once() -> None:
    assert len(NAMES) == 42
    assert len(set(NAMES)) == 42


def test_numbers_them_as_the_catalogue_does() -> None:
    numbers = {"absent": 0, "spawned": 2, "engine_ready": 19, "listening": 21, "ready_verified": 22, "stalled": 28,
               "engine_dead": 35, "exited": 37, "quarantined": 41}  # fmt: skip
    assert {name: ORDER[name] for name in numbers} == numbers


def test_every_state_says_what_it_means_and_what_to_do() -> None:
    for state in STATES:
        assert state.meaning.endswith("."), state.name
        assert state.action.endswith("."), state.name
        assert state.evidence, state.name


def test_a_quoted_line_ends_in_its_cell_of_the_table() -> None:
    for state in STATES:
        for text in (state.meaning, state.evidence, state.action):
            assert text.count("`") % 2 == 0, state.name
            assert text.count("(") == text.count(")"), state.name


def test_every_state_but_the_engines_death_belongs_to_one_part_of_a_life() -> None:
    assert sorted((*STARTING, "listening", *RUNNING, *ENDING, "engine_dead", *DOWN)) == sorted(NAMES)


def test_every_state_can_be_reached_and_left() -> None:
    assert {name for before in NAMES for name in followers(before)} == set(NAMES) - {"absent"}
    assert all(followers(name) for name in NAMES)


def test_no_state_follows_itself() -> None:
    assert not [name for name in NAMES if allowed(name, name)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("spawned", "weights_loading"),  # looks are a second apart
        ("idle", "serving"),
        ("serving", "stalled"),
        ("sleeping", "waking"),
        ("draining", "exited"),
        ("engine_dead", "exited"),
        ("exited", "spawned"),
        ("crash_loop", "listening"),
        ("absent", "idle"),  # first seen running, on another host
    ],
)
def test_allows(old: str, new: str) -> None:
    assert allowed(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("weights_loading", "spawned"),
        ("idle", "model_init"),
        ("idle", "waking"),
        ("idle", "ready_verified"),
        ("engine_dead", "serving"),
        ("stopping", "idle"),
        ("idle", "absent"),
    ],
)
def test_forbids(old: str, new: str) -> None:
    assert not allowed(old, new)
