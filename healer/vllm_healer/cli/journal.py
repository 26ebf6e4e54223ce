"""history, explain and backup: read the journal, also while a healer is running."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from vllm_healer.config import Config
from vllm_healer.errors import JournalError
from vllm_healer.journal import Entry, Journal
from vllm_healer.journal.backup import backup as copy_journal


def history(config: Config, arguments: argparse.Namespace) -> int:
    with closing(Journal.read_only(Path(config.journal))) as journal:
        _print(journal.history(arguments.limit), arguments.json)
    return 0


def explain(config: Config, arguments: argparse.Namespace) -> int:
    with closing(Journal.read_only(Path(config.journal))) as journal:
        entries = journal.explain(arguments.incident)
    if not entries:
        raise JournalError(
            f"no incident {arguments.incident} in {config.journal}; `vllm-healer history` shows the known ones"
        )
    _print(entries, arguments.json)
    return 0


def backup(config: Config, arguments: argparse.Namespace) -> int:
    size = copy_journal(Path(config.journal), arguments.file)
    done = {"journal": config.journal, "copy": str(arguments.file), "bytes": size}
    print(json.dumps(done) if arguments.json else f"copied {config.journal} to {arguments.file}: {size} bytes")
    return 0


def _print(entries: Iterable[Entry], as_json: bool) -> None:
    if as_json:
        print(json.dumps([_as_json(entry) for entry in entries], indent=2))
        return
    for entry in entries:
        when = datetime.fromtimestamp(entry.at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        incident = f"#{entry.incident}" if entry.incident is not None else "-"
        print(f"{when}  {incident:>5}  {entry.kind:<9}  {entry.words}")


def _as_json(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.id,
        "time": entry.at,
        "incident": entry.incident,
        "kind": entry.kind,
        "words": entry.words,
        "data": entry.data,
    }
