"""S02, with a real supervisord that is killed and started again: the old server lives on beside the supervised one."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.healer.actuators.acting import restart
from tests.patience import PATIENCE, wait_for
from vllm_healer.actuators.supervisord import Supervisord
from vllm_healer.leftover import name_unsupervised
from vllm_healer.model import RunState

pytestmark = pytest.mark.real


@pytest.fixture
def killed(supervised: ModuleType, supervisord_path: str, free_port: Callable[[], int]) -> Iterator[Any]:
    """A fleet of one program whose supervisord was killed and started again."""
    with tempfile.TemporaryDirectory(prefix="healer-") as folder:
        fleet = supervised.start_fleet(supervisord_path, Path(folder), free_port(), {"vllm": "false"})
        program = fleet.programs["vllm"]
        program.start(Supervisord(lambda server: program.remembered).observe)
        fleet.process.kill()
        fleet.process.wait(PATIENCE)
        (Path(folder) / "s.sock").unlink()
        fleet.process = subprocess.Popen([supervisord_path, "-c", f"{folder}/s.conf"], stdout=subprocess.DEVNULL)
        wait_for((Path(folder) / "s.sock").exists, "the second supervisord")
        yield program
        fleet.end()


def test_the_old_server_is_named_and_ended_before_the_supervised_one_is_started(killed: Any) -> None:
    actuator = Supervisord(lambda server: killed.remembered)
    (tree,) = killed.remembered.values()
    seen = actuator.observe(killed.target)
    assert seen.state is RunState.STOPPED
    assert {ref.pid for ref in seen.unsupervised} == {ref.pid for ref in tree}
    assert name_unsupervised(seen.unsupervised) in seen.detail
    assert (seen.orphans, seen.tree) == ((), ())

    result, steps = restart(actuator, killed.target, seen.incarnation.key)
    assert steps == ["stop", "start"]
    assert f"ended {len(tree)} processes" in result.words
    wait_for(lambda: len(killed.processes()) == 3, "the supervised server")
    assert {process.pid for process in killed.processes().values()}.isdisjoint(ref.pid for ref in tree)
    assert actuator.observe(killed.target).unsupervised == ()
    assert killed.starts() == 2
