"""Turns what is seen into short sentences for the terminal, each once. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from deploy.demo.scene import End, Scene, acted, until_verified
from deploy.demo.seen import JournalEntry, Seen

Colour = Literal["red", "yellow", "magenta", "cyan", "green", "dim"]

SLOW_SECONDS = 10.0  # without progress; from here on the exporter asks for a token at once
QUEUE = 100  # waiting requests; as the alert
CANARIES = 2  # unanswered; as the alert

# Sentences of the journal that are shown; the others repeat what alerts and these say.
_KINDS = {"diagnosis", "refusal", "intent", "step", "result", "verdict", "note"}
_STATES = {"failed", "resolved"}


@dataclass(frozen=True)
class Sentence:
    """One line. `key` tells whether it was said before; `after`: seconds since the fault."""

    key: str
    after: float
    who: str
    words: str
    colour: Colour


def sentences(scene: Scene, seen: Seen, said: Collection[str]) -> tuple[Sentence, ...]:
    """Returns what has not been said yet, in the order in which it happened."""
    found = (*_exporter(scene, seen), *_alerts(scene, seen), *_healer(scene, seen))
    return tuple(sorted((one for one in found if one.key not in said), key=lambda one: one.after))


def opening(scene: Scene) -> Sentence:
    """Tells the fault itself."""
    return Sentence(
        "fault", 0.0, "fault", f"{scene.failure.name} on {scene.server.words}: {scene.failure.words}", "red"
    )


def closing(scene: Scene, seen: Seen, end: End) -> Sentence:
    """Tells how the scene ended."""
    after = ended_after(scene, seen, end)
    words: dict[End, tuple[str, Colour]] = {
        End.HEALED: (
            f"{scene.server.words} works again {after:.0f} s after the fault: {_count(seen.entries)}"
            f"{_unheard(scene, seen)}",
            "green",
        ),
        End.ITSELF: (
            f"{scene.server.words} works again {after:.0f} s after the fault; supervisord did it alone",
            "green",
        ),
        End.PERSON: (f"not healed, and nothing more is tried: {scene.failure.what}", "yellow"),
        End.LEFT: (f"nothing was done, on purpose: {scene.failure.what}", "green"),
        End.TIMEOUT: (f"after {after:.0f} s it is neither healed nor explained; the logs say more", "red"),
    }
    said, colour = words[end]
    return Sentence("end", after, end.name.lower(), said, colour)


def ended_after(scene: Scene, seen: Seen, end: End) -> float:
    """Returns seconds since the fault. Where the healer wrote a verdict, its moment counts, not that of our look."""
    closed = [entry.at for entry in seen.entries if entry.kind == "verdict"]
    return scene.after(closed[-1] if end is End.HEALED and closed else seen.at)


def _exporter(scene: Scene, seen: Seen) -> Iterator[Sentence]:
    if acted(seen.entries):
        return  # what it sees now is the restart, and up to two scrapes old
    for key, words in _observations(seen):
        yield Sentence(f"exporter {key}", scene.after(seen.at), "exporter", words, "yellow")


def _observations(seen: Seen) -> Iterator[tuple[str, str]]:
    """Yields key and words of what the exporter's series say now."""
    if seen.probe == "refused":
        yield "refused", "nobody listens any more: connection refused"
    if seen.probe == "503":
        yield "503", "/health answers 503: the engine is dead"
    if seen.probe == "timeout":
        yield "timeout", "/health does not answer in time"
    yield from _progress(seen)
    if orphans := int(seen.value("vllm_process_orphans")):
        outlived = "1 process outlived its" if orphans == 1 else f"{orphans} processes outlived their"
        yield "orphans", f"{outlived} API server"
    if (waiting := seen.value("vllm_num_waiting_sequences")) > QUEUE:
        yield "waiting", f"{waiting:.0f} requests wait"
    if seen.value("vllm_server_paused") == 1:
        yield "paused", "the server says that it is paused"
    if seen.value("vllm_server_sleeping") == 1:
        yield "sleeping", "the engine sleeps"


def _progress(seen: Seen) -> Iterator[tuple[str, str]]:
    age, limit = seen.value("vllm_server_progress_age_seconds"), seen.value("vllm_server_stall_limit_seconds")
    healthy = "/health still says ok, but " if seen.probe == "ok" else ""
    if seen.value("vllm_canary_consecutive_failures") >= CANARIES:
        yield "canary", f"{healthy}test requests for one token stay unanswered"
    if seen.value("vllm_server_stalled") == 1:
        yield "stalled", f"work is there and nothing has moved for {age:.0f} s (limit {limit:.0f} s): stalled"
    elif age >= SLOW_SECONDS:
        yield "slow", f"{healthy}the engine shows no progress; it counts as stalled after {limit:.0f} s"


def _alerts(scene: Scene, seen: Seen) -> Iterator[Sentence]:
    begun = min((entry.at for entry in seen.entries if entry.kind == "intent"), default=math.inf)
    for alert in scene.alerts(seen):
        if alert.is_page:
            yield Sentence(
                f"page {alert.name}", scene.after(alert.since), "page", f"people hear of it: {alert.name}", "red"
            )
            continue
        if alert.since > begun:
            continue  # of the restart itself
        yield Sentence(f"alert {alert.name}", scene.after(alert.since), "alert", f"{alert.name} fires", "magenta")


def _healer(scene: Scene, seen: Seen) -> Iterator[Sentence]:
    for entry in until_verified(seen.entries):
        if entry.kind in _KINDS or entry.state in _STATES:
            words, colour = shorten(entry, scene.server.name), _colour(entry)
            yield Sentence(f"entry {entry.id}", scene.after(entry.at), entry.state or entry.kind, words, colour)


def shorten(entry: JournalEntry, server: str) -> str:
    """Leaves out what each line would repeat: the server's name, and what the diagnosis has said."""
    words = entry.words
    if entry.kind == "intent":
        return f"{words.partition(' ')[0]}: every guard allows it"
    if entry.kind == "verdict":
        words = words.partition(f", {server} ")[2] or words
    words = re.sub(rf" (of|on|for) {re.escape(server)}(?!\d)", "", words)
    return re.sub(rf"{re.escape(server)}(?!\d)", "it", words)


def _colour(entry: JournalEntry) -> Colour:
    if entry.state == "failed":
        return "red"
    return "green" if entry.kind == "verdict" else "cyan"


def _unheard(scene: Scene, seen: Seen) -> str:
    return "" if any(alert.is_page for alert in scene.alerts(seen)) else ", and nobody was woken"


def _count(entries: tuple[JournalEntry, ...]) -> str:
    intents = [entry.words.partition(" ")[0] for entry in entries if entry.kind == "intent"]
    counted = {name: intents.count(name) for name in dict.fromkeys(intents)}
    return ", ".join(f"{name} {'once' if times == 1 else f'{times} times'}" for name, times in counted.items())


def did(entries: tuple[JournalEntry, ...]) -> str:
    """Says in the table what the healer did."""
    return _count(entries) if acted(entries) else "nothing"
