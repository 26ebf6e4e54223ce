"""Answers of the journal that hold until something is committed: the worker asks for them every second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy import Engine

from vllm_healer.journal.reader import JournalReader
from vllm_healer.journal.values import IncidentSummary, StoredAlert, Unfinished
from vllm_healer.model import Incident, IncidentState

T = TypeVar("T")


class CachedReader(JournalReader):
    """A reader in the process that writes. Nobody else can write: `commits` counts all there are."""

    def __init__(self, path: Path, engine: Engine, commits: Callable[[], int]) -> None:
        super().__init__(path, engine)
        self._commits = commits
        self._recent: dict[str, tuple[int, object]] = {}

    def unassigned(self) -> tuple[StoredAlert, ...]:
        return self._unchanged("unassigned", super().unassigned)

    def open_incidents(self) -> tuple[Incident, ...]:
        return self._unchanged("open_incidents", super().open_incidents)

    def incident_counts(self) -> dict[IncidentState, int]:
        return self._unchanged("incident_counts", super().incident_counts)

    def summaries(self) -> tuple[IncidentSummary, ...]:
        return self._unchanged("summaries", super().summaries)

    def unfinished(self) -> tuple[Unfinished, ...]:
        return self._unchanged("unfinished", super().unfinished)

    def failing(self) -> dict[tuple[str, str], int]:
        return self._unchanged("failing", super().failing)

    def paused(self) -> str:
        return self._unchanged("paused", super().paused)

    def _unchanged(self, name: str, read: Callable[[], T]) -> T:
        """The answer of last time, or a new one if there was a commit since."""
        commits = self._commits()  # before reading: what is committed meanwhile is read again next time
        known = self._recent.get(name)
        if known is not None and known[0] == commits:
            return cast(T, known[1])
        answer = read()
        self._recent[name] = commits, answer
        return answer
