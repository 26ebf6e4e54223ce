"""Routes to people: by severity and component, and by mute time. Everything is a child of the routes to `human`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from deploy.config.alertmanager_api import TEST
from deploy.config.channel import Receiver
from deploy.config.mute import NAME, Mute

PEOPLE = "human"  # the receiver of the channels that hear all

Route = dict[str, Any]  # as alertmanager.yml has it


def route_to_people(route: Route, choosy: Sequence[Receiver], mute: Mute | None, receiver: str = PEOPLE) -> Route:
    """Returns the route with its children; each leaf in it that leads to `receiver` has a child for each way to people.

    `choosy`: receivers that do not hear all; the others are in `receiver`.
    """
    if not choosy and mute is None:
        return route
    if route.get("routes"):
        return {**route, "routes": [route_to_people(child, choosy, mute, receiver) for child in route["routes"]]}
    if route.get("receiver") != receiver:
        return route
    if any(TEST in str(matcher) for matcher in route.get("matchers", [])):
        ways: list[Route] = [{"receiver": one.name} for one in choosy]
        rest: list[Route] = [{"receiver": receiver}]
    else:
        ways = [way for one in choosy for way in _muted(one.name, _matchers(one), mute)]
        rest = list(_muted(receiver, [], mute))
    return {**route, "routes": [*({**way, "continue": True} for way in ways), *rest]}


def _muted(receiver: str, matchers: list[str], mute: Mute | None) -> Iterator[Route]:
    """Yields one route, or two of which the first is for what can wait."""
    if mute:
        waits = f'severity =~ "{_any(mute.severities)}"'
        yield {"receiver": receiver, "matchers": [*matchers, waits], "mute_time_intervals": [NAME]}
        matchers = [*matchers, waits.replace("=~", "!~")]
    yield {"receiver": receiver, **({"matchers": matchers} if matchers else {})}


def _matchers(receiver: Receiver) -> list[str]:
    heard = {"severity": receiver.severities, "component": receiver.components}
    return [f'{label} =~ "{_any(words)}"' for label, words in heard.items() if words]


def _any(words: Sequence[str]) -> str:
    """A regular expression; the only special character that words may have is the dot, which is harmless here."""
    return "|".join(words)
