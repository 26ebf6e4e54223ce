"""The tokens of a request by its id, from what vLLM 0.32 and 0.20 keep, and from nonsense."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vllm_monitor.lines import Lines
from vllm_monitor.outcomes import Exchange, Tokens
from vllm_monitor.requests import Requests
from vllm_monitor.series import Series
from vllm_monitor.tokens import FinishedTokens, look, request_id, unfinished

RANDOM_REQUESTS = 100_000


def finished(name: object, prompt: object = 100, output: object = 30) -> Any:
    return SimpleNamespace(request_id=name, num_prompt_tokens=prompt, num_generation_tokens=output)


def scope(name: str = "chatcmpl-1", **states: Any) -> dict[str, Any]:
    """A request that vLLM calls `name`, in a server with these engine states."""
    processor = SimpleNamespace(request_states={}, external_req_ids=defaultdict(list))
    for outer, made in states.items():
        for number, state in enumerate(made):
            inner = f"{outer}-{number}abc"
            processor.request_states[inner] = state
            processor.external_req_ids[outer.replace("_", "-")].append(inner)
    app = SimpleNamespace(state=SimpleNamespace(engine_client=SimpleNamespace(output_processor=processor)))
    return {"app": app, "headers": [], "state": {"request_metadata": SimpleNamespace(request_id=name)}}


def state(prompt: int, output: int) -> Any:
    return SimpleNamespace(prompt_len=prompt, stats=SimpleNamespace(num_generation_tokens=output))


def test_a_finished_request_is_known_by_its_id_once() -> None:
    tokens = FinishedTokens()
    tokens.saw(finished("chatcmpl-1"))
    assert tokens.take("chatcmpl-1") == Tokens(100, 30)
    assert tokens.take("chatcmpl-1") is None
    assert tokens.take("chatcmpl-2") is None


def test_the_prompts_of_a_completion_are_added() -> None:
    tokens = FinishedTokens()
    for name in ("cmpl-1-0", "cmpl-1-1", "cmpl-2-0"):
        tokens.saw(finished(name))
    assert tokens.take("cmpl-1") == Tokens(200, 60)
    assert tokens.take("cmpl-2") == Tokens(100, 30)


def test_several_answers_to_one_prompt_have_read_it_once() -> None:
    tokens = FinishedTokens()
    for _ in range(3):
        tokens.saw(finished("chatcmpl-1"))
    assert tokens.take("chatcmpl-1") == Tokens(100, 90)


def test_requests_that_nobody_asks_for_are_forgotten_oldest_first() -> None:
    tokens = FinishedTokens(most=2)
    for number in range(3):
        tokens.saw(finished(f"chatcmpl-{number}"))
    assert tokens.take("chatcmpl-0") is None
    assert tokens.take("chatcmpl-2") == Tokens(100, 30)


def test_a_client_that_sends_long_ids_takes_no_memory() -> None:
    tokens, name = FinishedTokens(), "chatcmpl-" + "x" * 1_000_000
    tokens.saw(finished(name))
    assert tokens.take(name) is None
    assert len(request_id({"headers": [(b"x-request-id", name.encode())]})) == 512
    assert len(request_id(scope(name))) == 512


def test_a_release_that_names_no_request_gives_nothing() -> None:
    tokens = FinishedTokens()
    tokens.saw(SimpleNamespace(num_prompt_tokens=100, num_generation_tokens=30))
    assert tokens.take("") is None


def test_a_request_that_the_engine_works_on_has_its_tokens_until_now() -> None:
    assert unfinished(scope("chatcmpl-1", **{"chatcmpl-1": [state(100, 7)]})) == Tokens(100, 7)
    assert unfinished(scope("cmpl-1", **{"cmpl-1-0": [state(100, 7)], "cmpl-1-1": [state(50, 1)]})) == Tokens(150, 8)


def test_an_engine_without_ids_of_its_own_is_asked_by_vllms() -> None:
    """Before 0.13."""
    asked = scope("chatcmpl-1")
    processor = asked["app"].state.engine_client.output_processor
    processor.request_states["chatcmpl-1"] = state(9, 2)
    del processor.external_req_ids
    assert unfinished(asked) == Tokens(9, 2)


def test_asking_leaves_the_engines_records_as_they_are() -> None:
    asked = scope("chatcmpl-1")
    assert unfinished(asked) is None
    assert not asked["app"].state.engine_client.output_processor.external_req_ids


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"app": None},
        {"app": SimpleNamespace(), "state": {}, "headers": []},
        {"app": SimpleNamespace(state=SimpleNamespace()), "state": None, "headers": [(b"x-request-id", b"1")]},
        scope("chatcmpl-1", **{"chatcmpl-1": [SimpleNamespace(prompt_len=3, stats=None)]}),
        scope("chatcmpl-1", **{"chatcmpl-1": [None]}),
    ],
)
def test_an_engine_that_is_another_or_not_there_gives_nothing(asked: dict[str, Any]) -> None:
    assert unfinished(asked) is None


def test_the_first_look_counts() -> None:
    """Afterwards vLLM forgets the request, or another one has its place."""
    exchange = Exchange(1.0, scope=scope("chatcmpl-1", **{"chatcmpl-1": [state(100, 7)]}))
    look(exchange)
    exchange.scope = {}
    look(exchange)
    assert exchange.tokens == Tokens(100, 7)


def test_the_id_is_vllms_else_the_clients() -> None:
    headers = [(b"host", b"x"), (b"x-request-id", b"mine")]
    assert request_id({**scope("chatcmpl-1"), "headers": headers}) == "chatcmpl-1"
    assert request_id({"headers": headers}) == "mine"
    assert request_id({"headers": []}) == ""


class Strange:
    """An object whose every attribute raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_random_requests_are_joined_exactly_and_nonsense_is_survived() -> None:
    dice = random.Random(11)
    tokens, waiting = FinishedTokens(), dict[str, Tokens]()
    for number in range(RANDOM_REQUESTS):
        dealt = dice.random()
        if dealt < 0.2:
            tokens.saw(dice.choice((None, 3, Strange(), finished(None), finished("x", "many", -1), finished(b"1"))))
        elif dealt < 0.6:
            name, known = f"chatcmpl-{number}", Tokens(dice.randrange(9999), dice.randrange(9999))
            tokens.saw(finished(name, known.prompt, known.output))
            waiting[name] = known
        elif dealt < 0.9 and waiting:
            name, known = waiting.popitem()
            assert tokens.take(name) == known
        elif dealt < 0.95:
            assert tokens.take(f"chatcmpl-{number}") is None
        else:
            unfinished({"app": dice.choice((Strange(), None, 1)), "state": Strange(), "headers": ()})
        if len(waiting) > 2000:
            waiting.clear()


def test_an_answer_that_is_out_before_the_engine_s_word_on_it_waits_one_round_for_it(tmp_path: Path) -> None:
    tokens, series = FinishedTokens(), Series()
    requests = Requests(series, Lines(tmp_path, "1-1-1"), tokens)
    tokens.saw(finished("chatcmpl-0"))  # so this engine says whose its statistics are
    for name in ("chatcmpl-1", "chatcmpl-2"):
        exchange = requests.begin(0.0, {**scope(name), "path": "/v1/chat/completions"})
        exchange.status, exchange.complete = 200, True
        requests.end(exchange, 1.0)

    def counted(name: str, **labels: str) -> float:
        return series.values[series.place("counter", name, 99, **labels)]

    list(requests(1.0))
    assert counted("vllm_requests_total", status="success") == 0
    tokens.saw(finished("chatcmpl-1"))
    list(requests(1.25))
    assert counted("vllm_requests_total", status="success") == 2  # of the second nothing was ever said
    assert counted("vllm_tenant_tokens_total", tenant="none", kind="output") == 30
    assert counted("vllm_inside_requests_lost_total") == 0
