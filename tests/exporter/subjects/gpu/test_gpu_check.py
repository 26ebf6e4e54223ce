from __future__ import annotations

import pytest

from benchmarks.gpu_check import Key, Row, Word, compare, main, parse_answer

POWER = Word("power_watts", (), "power.draw.average", apart=15, relative=0.1)
TOTAL = Word("memory_total_bytes", (), "memory.total", 1 << 20)


@pytest.mark.parametrize(
    ("text", "value"),
    [(" 85 %", 85), (" 81559 MiB", 81559), (" P8", 8), (" Not Active", 0), (" Enabled", 1), (" No", 0)],
)
def test_reads_nvidia_smis_words(text: str, value: float) -> None:
    assert parse_answer(text) == value


@pytest.mark.parametrize("text", ["[N/A]", " [Not Supported]", "", " N/A"])
def test_what_it_does_not_know_is_none(text: str) -> None:
    assert parse_answer(text) is None


def test_what_moves_may_differ_a_little_and_what_does_not_may_not() -> None:
    ours: dict[Key, float] = {("power_watts", "0"): 320.0, ("memory_total_bytes", "0"): 81_559.0 * (1 << 20)}
    near = compare(ours, {(POWER, "0"): 300.0, (TOTAL, "0"): 81_559.0})
    assert [row.verdict for row in near] == ["same", "same"]
    far = compare(ours, {(POWER, "0"): 100.0, (TOTAL, "0"): 81_558.0})
    assert [row.verdict for row in far] == ["differs", "differs"]


def test_what_only_one_has_is_said() -> None:
    ours: dict[Key, float] = {("sm_active_ratio", "0"): 0.5, ("dram_bandwidth_ratio", "0"): 1.5}
    rows = list(compare(ours, {(POWER, "0"): 300.0}))
    assert rows == [
        Row("power_watts 0", None, 300.0, "only theirs"),
        Row("sm_active_ratio 0", 0.5, None, "only ours"),
        Row("dram_bandwidth_ratio 0", 1.5, None, "implausible"),
    ]


def test_says_when_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import gpu_check
    from vllm_exporter.errors import NoData

    def refuse(*_: object, **__: object) -> None:
        raise NoData("no libnvidia-ml.so.1")

    monkeypatch.setattr(gpu_check, "open_source", refuse)
    assert main([]) == 2
    assert "no GPU here: no libnvidia-ml.so.1. Nothing was compared." in capsys.readouterr().err
