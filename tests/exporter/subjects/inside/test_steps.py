"""The last steps of a server's engines, from the snapshots of its processes."""

from __future__ import annotations

from vllm_exporter.facts.facts import EngineStep, ServerSteps
from vllm_exporter.subjects.inside.format import Directory, Entry, ProcessIdentity, ProcessSnapshot
from vllm_exporter.subjects.inside.steps import BUSY_STEP, LAG, STEP, join_steps

NOW = 100.0


def process(
    steps: dict[str, tuple[float, float]], written: float = NOW, lag: float | None = 0.0, pid: int = 1
) -> ProcessSnapshot:
    """`steps`: the last step of each engine, and the last one that left requests."""
    entries: list[Entry] = []
    values: list[float] = []
    for engine, pair in steps.items():
        for name, at in zip((STEP, BUSY_STEP), pair, strict=True):
            entries.append(Entry("last", name, (("engine", engine),), len(values)))
            values.append(at)
    if lag is not None:
        entries.append(Entry("max", LAG, (), len(values)))
        values.append(lag)
    return ProcessSnapshot(ProcessIdentity("b", 0, pid, 1), 8000, written, Directory(tuple(entries)), tuple(values))


def test_an_engine_has_work_when_its_last_step_left_requests() -> None:
    assert join_steps([process({"0": (99.0, 99.0), "1": (98.0, 97.5)})]) == ServerSteps(
        100.0, {"0": EngineStep(99.0, work=True), "1": EngineStep(98.0, work=False)}
    )


def test_the_newest_step_counts_whichever_api_server_it_was_told() -> None:
    """Each sees some of the steps: the first saw the engine busy, the second saw it finish."""
    found = join_steps([process({"0": (98.0, 98.0)}), process({"0": (99.0, 97.0)}, pid=2)])
    assert found == ServerSteps(100.0, {"0": EngineStep(99.0, work=False)})


def test_steps_are_known_only_until_the_last_answer_of_an_api_server_that_is_frozen() -> None:
    frozen = process({"0": (90.0, 90.0)}, written=90.2)
    found = join_steps([frozen, process({"0": (89.0, 89.0)}, pid=2)])
    assert found == ServerSteps(90.2, {"0": EngineStep(90.0, work=True)})


def test_steps_are_known_only_until_the_last_answer_of_an_event_loop_that_is_blocked() -> None:
    found = join_steps([process({"0": (90.0, 90.0)}, lag=10.0), process({}, pid=2)])
    assert found == ServerSteps(90.0, {"0": EngineStep(90.0, work=True)})


def test_an_api_server_that_was_told_no_step_yet_counts_for_that_too() -> None:
    found = join_steps([process({"0": (90.0, 90.0)}), process({}, written=80.0, pid=2)])
    assert found is not None
    assert found.seen_until == 80.0


def test_a_process_that_is_no_api_server_says_nothing_about_steps() -> None:
    worker = process({}, written=10.0, lag=None, pid=2)
    assert join_steps([worker]) is None
    assert join_steps([worker, process({"0": (90.0, 90.0)})]) == ServerSteps(100.0, {"0": EngineStep(90.0, work=True)})


def test_a_part_that_does_not_tell_busy_steps_tells_nothing() -> None:
    entries = (Entry("last", STEP, (("engine", "0"),), 0),)
    assert join_steps([ProcessSnapshot(ProcessIdentity("b", 0, 1, 1), 0, NOW, Directory(entries), (99.0,))]) is None
