"""What the trace of a healer tells: each webhook is on the disk before its answer goes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.healer import stage
from tests.healer.bench import load, service
from tests.healer.bench.trace import unsynced

WRITE = '7   pwrite64(5</j/journal.sqlite-wal>, "\\0a-1\\0"..., 4096, 0) = 4096'
SYNC = "7   fdatasync(5</j/journal.sqlite-wal>) = 0"
ANSWER = '9   sendto(23<socket:[52]>, "HTTP/1.1 200 OK\\r\\nCache"..., 238, 0, NULL, 0) = 238'
READY = '8   sendto(24<socket:[51]>, "HTTP/1.1 200 OK\\r\\nCache"..., 238, 0, NULL, 0) = 238'
BEGIN, END = "7   fdatasync(5</j/journal.sqlite-wal> <unfinished ...>", "7   <... fdatasync resumed>) = 0"


def judge(*lines: str) -> list[str]:
    return unsynced("\n".join(lines), ["a-1"])


def test_written_synced_and_answered_is_in_order() -> None:
    assert judge(READY, WRITE, SYNC, ANSWER, ANSWER) == []
    assert judge(WRITE, BEGIN, END, ANSWER) == []


@pytest.mark.parametrize(
    "lines",
    [
        (WRITE, ANSWER, SYNC),
        (SYNC, WRITE, ANSWER),
        (WRITE, BEGIN, ANSWER, END),
        (BEGIN, WRITE, END, ANSWER),
        (WRITE, SYNC.replace("= 0", "= -1 EIO"), ANSWER),
        (WRITE, SYNC.replace("-wal", ""), ANSWER),
        (WRITE.replace("a-1", "a-2"), SYNC, ANSWER),
        (WRITE, BEGIN, END.replace("7", "6"), ANSWER),
        (WRITE, SYNC),
        (),
    ],
)
def test_anything_else_is_not(lines: tuple[str, ...]) -> None:
    assert judge(*lines) == ["a-1"]


def test_a_real_healer_answers_after_the_sync(tmp_path: Path) -> None:
    if why_not := service.can_trace():
        pytest.skip(f"needs strace: {why_not}")
    with service.running(tmp_path / "healer", service.traced(tmp_path / "trace")) as healer:
        sent = load.send(healer.port, stage.TOKEN, load.firing(20, 1, "traced"), 1, 60.0, 0)
    names = [fingerprint for fingerprint, _ in sent.acknowledged]
    assert len(names) == 20
    assert unsynced((tmp_path / "trace").read_text(), names) == []
    assert service.lost(healer, sent.acknowledged) == 0


def test_the_value_that_a_share_does_not_exceed() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [load.percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert load.percentile([7.0], 0.99) == 7.0
