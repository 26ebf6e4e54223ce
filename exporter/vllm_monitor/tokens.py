"""The tokens of a request, by its id: of one that finished as the engine's statistics say, of one that did not as the
engine's own record of it says. Answers are not looked into.

vLLM calls a request by the id that it also answers with; the parts of a completion with several prompts have that id
and a number behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vllm_monitor.outcomes import Exchange, Tokens
from vllm_monitor.stats import attribute, number

MOST = 4096  # finished requests whose end is not seen yet; as many as may wait to be counted
PARTS = 1024  # of one request
LONGEST = 512  # characters of an id, which a client may choose; of a longer one no tokens are known
ID_HEADER = b"x-request-id"


class FinishedTokens:
    """What the engine's statistics said of finished requests, until somebody asks. Used by one thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: dict[str, Tokens] = {}
        self.heard = False  # whether the engine says whose its statistics are

    def saw(self, request: Any) -> None:
        """Takes vLLM's FinishedRequestStats, 0.20.0 or newer: those before do not say whose they are."""
        name = attribute(request, "request_id")
        if not isinstance(name, str) or len(name) > LONGEST:
            return
        prompt, output = number(request, "num_prompt_tokens"), number(request, "num_generation_tokens")
        self.heard = True
        before = self._known.pop(name, None) or Tokens(0, 0)  # with n > 1 several answers have the same id
        self._known[name] = Tokens(max(before.prompt, int(prompt or 0)), before.output + int(output or 0))
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]

    def expects(self, name: str) -> bool:
        """True if the engine's word on a request that has ended is still to come."""
        return self.heard and next(parts(name, self._known.__contains__), None) is None

    def take(self, name: str) -> Tokens | None:
        """Returns the tokens of a request, and forgets them. None: the engine did not finish it, or said no id."""
        return added(self._known.pop(part, None) for part in parts(name, self._known.__contains__))


def look(exchange: Exchange) -> None:
    """Notes what the engine knows of a request that is about to fail: afterwards vLLM forgets it. Raises nothing."""
    if exchange.tokens is None:
        exchange.tokens = unfinished(exchange.scope)


def unfinished(scope: Mapping[str, Any]) -> Tokens | None:
    """Returns the tokens until now of a request that the engine works on; None where it does not."""
    try:
        processor = attribute(attribute(attribute(scope.get("app"), "state"), "engine_client"), "output_processor")
        states, ids = attribute(processor, "request_states"), attribute(processor, "external_req_ids")
        name = request_id(scope)
        if not name or not isinstance(states, Mapping):
            return None
        inner: Mapping[str, Any] = ids if isinstance(ids, Mapping) else {}  # since 0.13 the engine has ids of its own
        return added(
            _tokens(states.get(one))
            for part in parts(name, lambda part: part in inner or part in states)
            for one in inner.get(part, (part,))
        )
    except Exception:  # noqa: BLE001 - whatever another vLLM has in its place, the request goes on
        return None


def request_id(scope: Mapping[str, Any]) -> str:
    """Returns the id by which vLLM calls a request, else the one that its client sent; '' without either."""
    state = scope.get("state")
    found = attribute(state.get("request_metadata") if isinstance(state, Mapping) else None, "request_id")
    if isinstance(found, str):
        return found[:LONGEST]
    return next(
        (value[:LONGEST].decode("latin-1") for name, value in scope.get("headers", ()) if name == ID_HEADER), ""
    )


def parts(name: str, known: Callable[[str], bool]) -> Iterator[str]:
    """Yields the names under which the engine has a request."""
    if known(name):
        yield name
        return
    for sign in ("-", "_"):  # completions, and chats of several conversations
        for number_ in range(PARTS):
            part = f"{name}{sign}{number_}"
            if not known(part):
                break
            yield part


def added(found: Iterator[Tokens | None]) -> Tokens | None:
    """Returns the sum of what is known; None when nothing is."""
    known = [one for one in found if one is not None]
    return Tokens(sum(one.prompt for one in known), sum(one.output for one in known)) if known else None


def _tokens(state: Any) -> Tokens | None:
    """Returns those of vLLM's RequestState; None without statistics."""
    prompt, output = number(state, "prompt_len"), number(attribute(state, "stats"), "num_generation_tokens")
    return None if prompt is None or output is None else Tokens(int(prompt), int(output))
