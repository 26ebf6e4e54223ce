"""The memory of each server: whether it was ever ready, which incarnation lives, and its process trees."""

from __future__ import annotations

from sqlalchemy import Connection, Row, delete, insert, select, update

from vllm_healer.journal import schema
from vllm_healer.journal.codec import tree_from_json, tree_to_json
from vllm_healer.journal.schema import targets, trees
from vllm_healer.model import NO_INCARNATION, Instant, ProcessRef, TargetMemory

Tree = tuple[ProcessRef, ...]

# Trees of which nothing lives any more, as far as is known, and those of which something does: a start that leaves its
# engine behind makes all later ones fail, and it has to be known after a night of them.
TREES = 5
LIVING_TREES = 50
# A start that compiles kernels runs hundreds of short helpers; the engine's own processes are always kept.
HELPERS = 200


def remember(
    connection: Connection,
    server: str,
    incarnation: str,
    ready: bool,
    tree: Tree,
    now: Instant,
    alive: frozenset[str] = frozenset(),
) -> None:
    """Writes what changed since the last look, so that an unchanged look costs no disk access.

    `alive` are the incarnations of which something lives; their trees are not forgotten.
    """
    if incarnation != NO_INCARNATION.key:
        _remember_tree(connection, server, incarnation, tree, now, alive)
    row = connection.execute(select(targets).where(targets.c.server == server)).first()
    if row is None:
        ready_as = incarnation if ready and incarnation != NO_INCARNATION.key else ""
        values = {
            "seen_ready": ready,
            "ready_incarnation": ready_as,
            "incarnation": incarnation,
            **schema.instant_values("first_seen", now),
        }
        connection.execute(insert(targets).values(server=server, **values))
        return
    changes = _changes(connection, row, incarnation, ready, now)
    if changes:
        connection.execute(update(targets).where(targets.c.server == server).values(**changes))


def memory(connection: Connection, server: str) -> TargetMemory:
    """The memory of a server; it is empty for one that was never seen."""
    row = connection.execute(select(targets).where(targets.c.server == server)).first()
    if row is None:
        return TargetMemory()
    columns = row._mapping
    known = connection.execute(select(trees).where(trees.c.server == server).order_by(trees.c.id))
    return TargetMemory(
        seen_ready=columns["seen_ready"],
        ready_incarnation=columns["ready_incarnation"],
        incarnation=columns["incarnation"],
        incarnation_first_seen=schema.read_instant(row, "first_seen"),
        trees={tree._mapping["incarnation"]: tree_from_json(tree._mapping["processes"]) for tree in known},
    )


def merge(old: Tree, new: Tree) -> Tree:
    """All processes ever seen in the tree: one that a look missed, or that lost its parent, may still hold memory."""
    both = tuple(dict.fromkeys((*old, *new)))
    helpers = [process for process in both if process.role == "helper"]
    dropped = set(helpers[:-HELPERS])
    return tuple(process for process in both if process not in dropped)


def _changes(
    connection: Connection, row: Row[tuple[object, ...]], incarnation: str, ready: bool, now: Instant
) -> dict[str, object]:
    columns = row._mapping
    changes: dict[str, object] = {}
    if ready and not columns["seen_ready"]:
        changes["seen_ready"] = True
    if ready and incarnation not in (columns["ready_incarnation"], NO_INCARNATION.key):  # "none" is nobody
        changes["ready_incarnation"] = incarnation
    if incarnation != columns["incarnation"]:
        first_seen = _first_seen(connection, str(columns["server"]), incarnation) or now
        changes |= {"incarnation": incarnation, **schema.instant_values("first_seen", first_seen)}
    return changes


def _first_seen(connection: Connection, server: str, incarnation: str) -> Instant | None:
    """The time when an incarnation was first seen: a look that failed in between does not make it young again."""
    row = _tree_row(connection, server, incarnation)
    return None if row is None else schema.read_instant(row, "first_seen")


def _remember_tree(
    connection: Connection, server: str, incarnation: str, tree: Tree, now: Instant, alive: frozenset[str]
) -> None:
    row = _tree_row(connection, server, incarnation)
    if row is None:
        values = {"server": server, "incarnation": incarnation, "processes": tree_to_json(tree)}
        connection.execute(insert(trees).values(**values, **schema.instant_values("first_seen", now)))
        _forget_old(connection, server, alive)
        return
    old = tree_from_json(row._mapping["processes"])
    merged = merge(old, tree)
    if merged != old:
        grown = update(trees).where(trees.c.id == row._mapping["id"])
        connection.execute(grown.values(processes=tree_to_json(merged)))


def _tree_row(connection: Connection, server: str, incarnation: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(trees).where(trees.c.server == server, trees.c.incarnation == incarnation)).first()


def _forget_old(connection: Connection, server: str, alive: frozenset[str]) -> None:
    known = select(trees.c.id).where(trees.c.server == server).order_by(trees.c.id.desc())
    newest = connection.scalars(known.limit(TREES)).all()
    living = connection.scalars(known.where(trees.c.incarnation.in_(alive)).limit(LIVING_TREES)).all()
    connection.execute(delete(trees).where(trees.c.server == server, trees.c.id.not_in([*newest, *living])))
