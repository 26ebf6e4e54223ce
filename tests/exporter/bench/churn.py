"""Processes that come and go: vLLM trees under one port, each with new ids, then none."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.harness.figures import Figure
from tests.exporter.fake_proc import FakeProc
from tests.exporter.fakes import FakeClock
from vllm_exporter.config.config import Config, TargetConfig
from vllm_exporter.errors import NoData
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.processes.collector import ProcessesCollector

CHURNS = 500
PORT = 8000
VLLM = f"/venv/bin/python /venv/bin/vllm serve m --port {PORT}"


def measure(directory: Path) -> list[Figure]:
    """The most series there were, against those of one tree; and what was left of process ids afterwards."""
    proc, clock = FakeProc(directory / "churn"), FakeClock()
    config = Config(targets=(TargetConfig(f"localhost:{PORT}", f"gpu1:{PORT}"),), state_dir=str(directory / "churned"))
    collector = ProcessesCollector(Context(config, clock, proc=proc.root))
    counts: list[int] = []
    for number in range(CHURNS):
        pids = _tree(proc, 1000 + 10 * number)
        counts.append(_series(collector))
        proc.end(*pids)
        clock.advance(1.0)
    first, most = counts[0], max(counts)
    left = max(0, _series(collector) - first)
    return [
        Figure(f"most_series_in_{CHURNS}_churns", "series", (float(most),), 2.0 * first, float(first), "one tree"),
        Figure(f"series_left_after_{CHURNS}_churns", "series", (float(left),), 0.0),
    ]


def _tree(proc: FakeProc, api: int) -> tuple[int, ...]:
    proc.process(api, 1, VLLM)
    proc.listen(api, PORT, 5000)
    proc.process(api + 1, api, "VLLM::EngineCore")
    proc.process(api + 2, api + 1, "VLLM::Worker")
    return api, api + 1, api + 2


def _series(collector: ProcessesCollector) -> int:
    """How many it yields; none when it has no data."""
    try:
        return len(list(collector.collect()))
    except NoData:
        return 0
