"""The history: sentences that are only ever added, and how they are read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, Row, Select, insert, select

from vllm_healer.journal import schema
from vllm_healer.journal.codec import data_from_json, to_json
from vllm_healer.journal.schema import entries
from vllm_healer.journal.values import Entry
from vllm_healer.model import Instant
from vllm_healer.printable import one_line

_INSERT = insert(entries)


def append(
    connection: Connection,
    incident: int | None,
    kind: str,
    words: str,
    now: Instant,
    data: Mapping[str, object] | None = None,
) -> None:
    """Adds one sentence."""
    append_all(connection, kind, [(incident, words, data or {})], now)


def append_all(
    connection: Connection, kind: str, told: Iterable[tuple[int | None, str, Mapping[str, object]]], now: Instant
) -> None:
    """Adds sentences of one kind: (incident, words, data) of each."""
    at = schema.instant_values("at", now)
    rows = [
        {"incident": incident, "kind": kind, "words": one_line(words), "data": to_json(dict(data)), **at}
        for incident, words, data in told
    ]
    if rows:
        connection.execute(_INSERT, rows)


def history(connection: Connection, limit: int) -> tuple[Entry, ...]:
    """The newest `limit` entries, oldest of them first."""
    newest = connection.execute(select(entries).order_by(entries.c.id.desc()).limit(limit)).all()
    return tuple(_entry(row) for row in reversed(newest))


def explain(connection: Connection, incident: int) -> tuple[Entry, ...]:
    """The entries about one incident: all that was heard, decided and done, oldest first."""
    return _read(connection, select(entries).where(entries.c.incident == incident).order_by(entries.c.id))


def last(connection: Connection, incident: int, kinds: tuple[str, ...]) -> tuple[Entry, Instant] | None:
    """The newest entry of these kinds, with its moment."""
    query = select(entries).where(entries.c.incident == incident, entries.c.kind.in_(kinds))
    row = connection.execute(query.order_by(entries.c.id.desc()).limit(1)).first()
    return None if row is None else (_entry(row), schema.read_instant(row, "at"))


def _read(connection: Connection, query: Select[tuple[object, ...]]) -> tuple[Entry, ...]:
    return tuple(_entry(row) for row in connection.execute(query))


def _entry(row: Row[tuple[object, ...]]) -> Entry:
    columns = row._mapping
    return Entry(
        id=columns["id"],
        at=columns["at_wall"],
        incident=columns["incident"],
        kind=columns["kind"],
        words=columns["words"],
        data=data_from_json(columns["data"]),
    )
