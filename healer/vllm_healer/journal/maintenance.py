"""Times of maintenance that people begin and end by a command. They end by themselves, too."""

from __future__ import annotations

import json

from sqlalchemy import Connection, delete, insert, select

from vllm_healer.journal import entries
from vllm_healer.journal.codec import data_from_json
from vllm_healer.journal.schema import meta
from vllm_healer.ledger import Maintenance
from vllm_healer.model import Instant
from vllm_healer.printable import one_line

KEY = "maintenance "


def maintain(connection: Connection, about: str, seconds: float, words: str, now: Instant) -> None:
    """Begins it, in place of an earlier one about the same; for 0 seconds it ends what there is."""
    connection.execute(delete(meta).where(meta.c.key == KEY + about))
    if seconds > 0:
        told = {
            "words": one_line(words),
            "seconds": seconds,
            "wall": now.wall,
            "boot": now.boot,
            "boot_id": now.boot_id,
        }
        connection.execute(insert(meta).values(key=KEY + about, value=json.dumps(told)))
    what = f"begins, for {seconds / 60:.0f} minutes" if seconds > 0 else "ends"
    entries.append(connection, None, "maintenance", f"maintenance of {about} {what}: {words}", now)


def begun(connection: Connection) -> tuple[Maintenance, ...]:
    """All that were begun and not ended, also such as are over by now."""
    rows = connection.execute(select(meta).where(meta.c.key.startswith(KEY)).order_by(meta.c.key))
    return tuple(_read(row._mapping["key"].removeprefix(KEY), row._mapping["value"]) for row in rows)


def _read(about: str, text: str) -> Maintenance:
    """Reads one. If that cannot be, it lasts until a person ends it: nothing is done where somebody may be at work."""
    told = data_from_json(text)
    try:
        at = Instant(float(str(told["wall"])), float(str(told["boot"])), str(told["boot_id"]))
        return Maintenance(about, at, float(str(told["seconds"])), str(told["words"]))
    except (LookupError, ValueError):
        return Maintenance(about, Instant(0.0, 0.0, ""), float("inf"), "what the journal says of it cannot be read")
