"""Adds up the last lines of several pytest runs and prints one in their form: scripts/pytest_total.py LOG..."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

_SUMMARY = re.compile(r"=+ (?P<counts>\d+ [a-z].*) in (?P<seconds>[\d.]+)s(?: \([\w:, ]+\))? =+")
_COUNT = re.compile(r"(\d+) (passed|failed|error|skipped|xfailed|xpassed|warning)")
_ORDER = ("failed", "passed", "skipped", "xfailed", "xpassed", "warning", "error")  # as pytest has it
_PLURAL = {"warning", "error"}


def main() -> int:
    print(total([Path(name).read_text(encoding="utf-8", errors="replace") for name in sys.argv[1:]]))
    return 0


def total(logs: Iterable[str]) -> str:
    """Deselected ones are left out: what one run leaves out another runs."""
    counts: Counter[str] = Counter()
    seconds = 0.0
    for summary in filter(None, map(last_summary, logs)):
        seconds += float(summary["seconds"])
        for number, what in _COUNT.findall(summary["counts"]):
            counts[what] += int(number)
    words = ", ".join(_words(counts[what], what) for what in _ORDER if counts[what]) or "no tests ran"
    return f"=== {words} in {seconds:.2f}s ==="


def last_summary(log: str) -> re.Match[str] | None:
    """pytest's last line, if the log has one; a run that did not come that far has none."""
    return next(filter(None, map(_SUMMARY.fullmatch, reversed(log.splitlines()))), None)


def _words(number: int, what: str) -> str:
    return f"{number} {what}s" if what in _PLURAL and number > 1 else f"{number} {what}"


if __name__ == "__main__":
    sys.exit(main())
