"""The keys by which a receiver hears less than all, for every channel, and their checks."""

from __future__ import annotations

import difflib
import re

from deploy.config.dotenv import Entry
from deploy.config.key import Key
from deploy.errors import SettingsError

SEVERITIES = ("critical", "warning", "info")  # of the alerts in prometheus/alerts/
_WORD = re.compile(r"[A-Za-z0-9_.-]+")


def words_of(text: str) -> tuple[str, ...]:
    """Returns the words of a list with commas, in order."""
    return tuple(filter(None, (word.strip() for word in text.split(","))))


def check_words(entry: Entry) -> None:
    """Raises SettingsError for what cannot be the value of such a label, and for an empty list."""
    words = words_of(entry.value)
    wrong = [word for word in words if not _WORD.fullmatch(word)]
    if wrong or not words:
        said = f"{wrong[0]!r} in it is no name" if wrong else "it names nothing"
        raise SettingsError(
            f"{entry.where}: {entry.key} is {entry.value!r}: {said}: "
            "write names with commas between, such as critical,warning"
        )


def check_severities(entry: Entry) -> None:
    """Raises SettingsError for a slip of the fingers too: alerts would stay unheard. A severity of your own is fine."""
    check_words(entry)
    for word in words_of(entry.value):
        alike = difflib.get_close_matches(word.lower(), SEVERITIES, n=1, cutoff=0.75)
        if alike and word not in SEVERITIES:
            raise SettingsError(f"{entry.where}: {entry.key}: unknown severity {word!r}: write {alike[0]}")


def severities_key(prefix: str) -> Key:
    return Key(
        f"{prefix}_SEVERITIES",
        "Hears these severities only, with commas between. Default: all.",
        example="critical,warning",
        check=check_severities,
    )


def components_key(prefix: str) -> Key:
    return Key(
        f"{prefix}_COMPONENTS",
        "Hears alerts of these components only (label `component`), with commas between. Default: all.",
        example="gpu,host",
        check=check_words,
    )
