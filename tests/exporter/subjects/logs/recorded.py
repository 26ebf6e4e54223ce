"""Logs of real runs of vLLM 0.32 (fixtures/logs): their lines, and what they mean."""

from __future__ import annotations

from pathlib import Path

from vllm_exporter.subjects.logs.classes import read_classes
from vllm_exporter.subjects.logs.follow import Follower, LineFinding
from vllm_exporter.subjects.logs.incident import Incident

LOGS = Path(__file__).parents[2] / "fixtures" / "logs"
REPORTS = LOGS.parent / "reports"  # logs of public reports
PATTERNS = read_classes()


def lines(name: str) -> list[bytes]:
    return [line.rstrip(b"\r") for line in (LOGS / f"{name}.log").read_bytes().split(b"\n")]


def follow(*given: bytes, incident: Incident | None = None, at: float = 0.0) -> list[LineFinding]:
    return [finding for _, finding in Follower(PATTERNS, incident or Incident()).feed_all(given, at)]


def one_by_one(name: str) -> list[LineFinding]:
    """As if each line came alone."""
    follower = Follower(PATTERNS, Incident())
    return [finding for line in lines(name) for _, finding in follower.feed_all([line], 0.0)]


def meant(name: str) -> list[LineFinding]:
    return follow(*lines(name))


def serious(findings: list[LineFinding]) -> list[tuple[str, str]]:
    """Class and severity of what is above info."""
    return [(finding.name, finding.severity) for finding in findings if finding.severity != "info"]


def states(findings: list[LineFinding]) -> list[str]:
    """The states that lines proved, each as often as it was entered."""
    proved = [finding.state for finding in findings if finding.state]
    return [state for at, state in enumerate(proved) if at == 0 or proved[at - 1] != state]
