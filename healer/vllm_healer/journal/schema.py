"""The tables, their version, and the columns of an Instant. Only types and statements that PostgreSQL has too."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    insert,
    inspect,
    select,
)

from vllm_healer.errors import JournalError
from vllm_healer.model import Instant

VERSION = 1  # of what an older healer cannot read; an index more is none

metadata = MetaData()


def instant_columns(name: str, nullable: bool = False) -> tuple[Column[float], Column[float], Column[str]]:
    """The three columns of a moment: wall time, boot-time clock and boot id."""
    return (
        Column(f"{name}_wall", Float, nullable=nullable),
        Column(f"{name}_boot", Float, nullable=nullable),
        Column(f"{name}_boot_id", String, nullable=nullable),
    )


# key 'schema': the version of these tables; 'paused': who paused the healer and why, absent when nobody did; 'resumed':
# the newest action when somebody resumed it last; 'maintenance …': one that was begun by a command; 'probe': what
# readiness wrote last
meta = Table("meta", metadata, Column("key", String, primary_key=True), Column("value", Text, nullable=False))

incidents = Table(
    "incidents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("server", String, nullable=False, index=True),
    Column("state", String, nullable=False, index=True),
    *instant_columns("opened"),
    *instant_columns("closed", nullable=True),
)

# One row per firing period and status, however often it is delivered.
alerts = Table(
    "alerts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("period", String, nullable=False),  # starts_at, spelled in one way
    Column("starts_at", String, nullable=False),
    Column("firing", Boolean, nullable=False),
    Column("over", Boolean, nullable=False),  # of a firing row: its 'resolved' was heard since
    Column("name", String, nullable=False),
    Column("labels", Text, nullable=False),  # JSON
    Column("annotations", Text, nullable=False),  # JSON
    Column("deliveries", Integer, nullable=False),
    Column("incident", ForeignKey("incidents.id"), nullable=True, index=True),
    *instant_columns("received"),
    UniqueConstraint("fingerprint", "period", "firing"),
)

# The firing alerts that belong to no incident. The worker asks for them each second: without an index that is a look at
# every alert that ever resolved.
waiting = and_(alerts.c.incident.is_(None), alerts.c.firing.is_(True), alerts.c.over.is_(False))
_columns = (alerts.c.incident, alerts.c.firing, alerts.c.over)
WAITING = Index("alerts_waiting", *_columns, sqlite_where=waiting, postgresql_where=waiting)

entries = Table(
    "entries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("incident", ForeignKey("incidents.id"), nullable=True, index=True),
    Column("kind", String, nullable=False),
    Column("words", Text, nullable=False),
    Column("data", Text, nullable=False),  # JSON
    *instant_columns("at"),
)

# What became known of an incident; a table of its own, so that an earlier release still reads the others.
findings = Table(
    "findings",
    metadata,
    Column("incident", ForeignKey("incidents.id"), primary_key=True),
    Column("cause", String, nullable=False),  # '' while none was found
    Column("remediation", String, nullable=False),
    Column("needs_person", Boolean, nullable=False),  # it failed, and nobody has seen the server work since
)
NEEDY = Index("findings_needy", findings.c.incident, sqlite_where=findings.c.needs_person.is_(True))

actions = Table(
    "actions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("incident", ForeignKey("incidents.id"), nullable=False, index=True),
    Column("server", String, nullable=False, index=True),
    Column("pool", String, nullable=False, index=True),
    Column("remediation", String, nullable=False),
    Column("destructive", Boolean, nullable=False),
    Column("plan", Text, nullable=False),  # JSON
    Column("result", Text, nullable=True),  # JSON; null while it is being carried out
    Column("verification", String, nullable=True),  # null until verification ended
    Column("verdict", Text, nullable=True),
    Column("seconds", Float, nullable=True),  # from intent to verdict
    Column("settled", Text, nullable=True),  # of one that failed: why it is no reason to hold back any more
    *instant_columns("at"),
    Index("actions_open", "verification"),
)

steps = Table(
    "steps",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("action", ForeignKey("actions.id"), nullable=False, index=True),
    Column("name", String, nullable=False),
    *instant_columns("at"),
)

targets = Table(
    "targets",
    metadata,
    Column("server", String, primary_key=True),
    Column("seen_ready", Boolean, nullable=False),
    Column("ready_incarnation", String, nullable=False),  # the one that was ready last; '' when none was
    Column("incarnation", String, nullable=False),
    *instant_columns("first_seen"),
)

trees = Table(
    "trees",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("server", String, nullable=False),
    Column("incarnation", String, nullable=False),
    Column("processes", Text, nullable=False),  # JSON
    *instant_columns("first_seen"),
    UniqueConstraint("server", "incarnation"),
)


# What a person is asked to approve; a table of its own, as `findings` is.
approvals = Table(
    "approvals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("incident", ForeignKey("incidents.id"), nullable=False, index=True),
    Column("server", String, nullable=False),
    Column("remediation", String, nullable=False),
    Column("incarnation", String, nullable=False),
    Column("answer", String, nullable=True),  # null: nobody has answered
    Column("words", Text, nullable=False),  # who answered, and why
    Column("used_by", Integer, nullable=False),  # the action that was begun on it; 0: none
    *instant_columns("asked"),
    *instant_columns("answered", nullable=True),
)


def create(connection: Connection) -> None:
    """Makes the tables in an empty file. In a file that has them, or another program's, see `check` and `complete`."""
    if inspect(connection).get_table_names():
        return
    metadata.create_all(connection)
    connection.execute(insert(meta).values(key="schema", value=str(VERSION)))


def complete(connection: Connection) -> None:
    """Adds what an earlier release did not have, and what that release, run again, does not see."""
    WAITING.create(connection, checkfirst=True)
    findings.create(connection, checkfirst=True)
    approvals.create(connection, checkfirst=True)


def check(connection: Connection, path: Path) -> None:
    """Raises JournalError unless the file is a journal of this version."""
    known = select(meta.c.value).where(meta.c.key == "schema")
    found = str(connection.scalars(known).first()) if inspect(connection).has_table(meta.name) else ""
    if not found.isdecimal():
        raise JournalError(f"{path} is not a healer's journal; give --journal the file that vllm-healer serve writes")
    version = int(found)
    if version > VERSION:
        raise JournalError(
            f"{path} was written by a newer healer (schema {version}, this one knows {VERSION}); "
            "install that version again, or give --journal another file and lose the cooldowns in this one"
        )


def instant_values(name: str, instant: Instant) -> dict[str, object]:
    """An Instant as column values."""
    return {f"{name}_wall": instant.wall, f"{name}_boot": instant.boot, f"{name}_boot_id": instant.boot_id}


def read_instant(row: Row[tuple[object, ...]], name: str) -> Instant:
    """The Instant of a row's columns."""
    columns = row._mapping
    return Instant(columns[f"{name}_wall"], columns[f"{name}_boot"], columns[f"{name}_boot_id"])
