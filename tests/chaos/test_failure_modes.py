"""Failure modes of docs/failure-coverage.md on a real vLLM: each fault is brought about, and its alert has to fire.

A scene takes up to five minutes on two cores. One alone, by the name in its brackets:
make test-chaos ARGS="tests/chaos/test_failure_modes.py -k [starts]"
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.faults.answers import (
    adapter_missing,
    asleep_with_a_client,
    connector_missing,
    grammar_without_end,
    patterns_too_costly,
    paused_and_left,
    template_broken,
    weights_damaged,
)
from tests.chaos.faults.processes import coordinator_dies, kernel_never_ends, killed_again_and_again, rank_stops
from tests.chaos.faults.shortages import (
    cache_too_small_for_its_load,
    connections_held,
    memory_of_its_container_gone,
    memory_of_its_container_short,
    statistics_off,
)
from tests.chaos.faults.starts import (
    cache_smaller_than_a_request,
    context_too_long,
    flag_unknown,
    killed_by_a_probe,
    no_compiler,
    no_driver,
    port_taken,
    shared_memory_of_a_container,
    tokenizer_missing,
    weights_cut,
    weights_missing,
)
from tests.e2e.harness.proofs import Scene, Stage
from tests.e2e.harness.stack import run_directory

SCENES = {
    "files": Scene(
        (weights_missing, weights_cut, tokenizer_missing, no_driver, no_compiler, shared_memory_of_a_container)
    ),
    "starts": Scene((port_taken, context_too_long, flag_unknown, cache_smaller_than_a_request)),
    "ranks": Scene((rank_stops, kernel_never_ends)),
    "deaths": Scene((killed_again_and_again, coordinator_dies)),
    "requests": Scene((adapter_missing, connector_missing, weights_damaged)),
    "grammars": Scene((template_broken, patterns_too_costly, grammar_without_end)),
    "cache": Scene((cache_too_small_for_its_load, statistics_off)),
    "limits": Scene((connections_held, killed_by_a_probe)),
    "memory": Scene((memory_of_its_container_short,)),
    "killer": Scene((memory_of_its_container_gone,)),
    # What its alert waits for is longer than a test can: shortened, as docs/failure-coverage.md says.
    "forgotten": Scene(
        (paused_and_left, asleep_with_a_client),
        waits={"VllmPausedLong": "15s", "VllmSleepStuck": "15s"},
    ),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("scene", SCENES)
def test_a_failure_of_a_real_server_fires_its_alert(scene: str, script: Path, held: Callable[[str], None]) -> None:
    if scene in ("memory", "killer") and os.geteuid() != 0:
        pytest.skip("a limit of memory needs root")
    stage = Stage(script, run_directory(), SCENES[scene])
    wrong = stage.play()
    for proof in stage.proofs:
        held(proof.words())
    assert wrong == []
