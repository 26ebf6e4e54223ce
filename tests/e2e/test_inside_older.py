"""The in-process part in an older vLLM, whose statistics have other names: it counts as in the newest."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import test_inside
from tests.e2e.test_inside import Scene, running

RELEASES = ("0.20.0",)  # those that the script can install, and that serve without a GPU: 0.11.2 does not

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module", params=RELEASES)
def older(request: pytest.FixtureRequest, script: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A scene with that release, which is installed once, beside the others."""
    version = {"VLLM_VERSION": str(request.param)}  # which the script installs and runs
    command = ["/bin/bash", str(script), "install"]
    done = subprocess.run(command, env={**os.environ, **version}, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"vLLM {request.param} cannot be installed here: {done.stderr.strip()[-200:]}")
    with running(script, tmp_path_factory.mktemp("older"), version) as made:
        yield made


@pytest.mark.parametrize(
    "check",
    [
        test_inside.test_counts_agree_with_the_clients_tally_and_with_vllm,
        test_inside.test_the_check_says_that_all_of_it_loads,
        test_inside.test_each_process_frees_memory_when_a_person_asks,
        test_inside.test_a_stopped_engine_shows_by_the_age_of_its_last_step,
    ],
    ids=lambda check: check.__name__.removeprefix("test_"),
)
def test_an_older_release(older: Scene, check: Callable[[Scene], None]) -> None:
    check(older)
