"""Adds up the last lines of several pytest runs and prints one in their form: scripts/pytest_total.py LOG...

x.again.log is the second attempt at what failed in x.log: its outcome takes the place of the first one's failures.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

_SUMMARY = re.compile(r"=+ (?P<counts>\d+ [a-z].*) in (?P<seconds>[\d.]+)s(?: \([\w:, ]+\))? =+")
_COUNT = re.compile(r"(\d+) (passed|failed|error|skipped|xfailed|xpassed|warning)")
_ORDER = ("failed", "passed", "skipped", "xfailed", "xpassed", "warning", "error")  # as pytest has it
_PLURAL = {"warning", "error"}
_FAILED = frozenset({"failed", "error"})


def main() -> int:
    print(total({Path(name).name: Path(name).read_text(encoding="utf-8", errors="replace") for name in sys.argv[1:]}))
    return 0


def total(logs: Mapping[str, str]) -> str:
    """By file name. Deselected ones are left out: what one run leaves out another runs."""
    counts: Counter[str] = Counter()
    seconds = 0.0
    for name, log in logs.items():
        if summary := last_summary(log):
            seconds += float(summary["seconds"])
            again = last_summary(logs.get(name.removesuffix(".log") + ".again.log", ""))
            counts += parse_counts(summary, without=_FAILED if again else frozenset())
    words = ", ".join(_words(counts[what], what) for what in _ORDER if counts[what]) or "no tests ran"
    return f"=== {words} in {seconds:.2f}s ==="


def parse_counts(summary: re.Match[str], without: frozenset[str]) -> Counter[str]:
    return Counter({what: int(number) for number, what in _COUNT.findall(summary["counts"]) if what not in without})


def last_summary(log: str) -> re.Match[str] | None:
    """pytest's last line, if the log has one; a run that did not come that far has none."""
    return next(filter(None, map(_SUMMARY.fullmatch, reversed(log.splitlines()))), None)


def _words(number: int, what: str) -> str:
    return f"{number} {what}s" if what in _PLURAL and number > 1 else f"{number} {what}"


if __name__ == "__main__":
    sys.exit(main())
