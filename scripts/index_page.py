"""Writes the lists of alerts, detectors and remediations in docs/README.md, from what there is.

With --check it writes nothing, names the page when it is not up to date, and exits with 1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

import yaml

from scripts.marked import CHECKOUT, fill, write
from vllm_healer.registry import detectors, remediations

PAGE = CHECKOUT / "docs" / "README.md"


def alert_table() -> str:
    """Returns a row for each file of alerts: their runbooks, which some share."""
    found = {}
    for file in sorted((CHECKOUT / "prometheus" / "alerts").glob("*.alerts.yml")):
        groups = yaml.safe_load(file.read_text())["groups"]
        found[file.name.partition(".")[0]] = [runbook(rule) for group in groups for rule in group["rules"]]
    return table(found, "runbooks")


def runbook(rule: Mapping[str, Mapping[str, str]]) -> str:
    """Returns the name of the page that the alert leads to."""
    return rule["annotations"]["runbook_url"].rpartition("/")[2].removesuffix(".md")


def healer_table() -> str:
    """Returns a row for the detectors and one for the remediations."""
    return table({"detectors": list(detectors())}, "detectors") + "".join(
        table({"remediations": list(remediations())}, "remediations").splitlines(keepends=True)[2:]
    )


def table(rows: Mapping[str, Iterable[str]], folder: str) -> str:
    """Returns a table of names, each a link to its page in a folder of docs/."""
    lines = ["| | |", "|---|---|"]
    for title, names in rows.items():
        lines.append(f"| {title} | " + ", ".join(f"[{one}]({folder}/{one}.md)" for one in dict.fromkeys(names)) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    page = fill(PAGE.read_text(), "alerts", alert_table(), PAGE.name)
    sys.exit(write({PAGE: fill(page, "healer", healer_table(), PAGE.name)}, sys.argv[1:]))
