"""Requests as bytes, bodies as wishes, answers as words. No sockets."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.simulator.engine.model import EngineOptions
from deploy.simulator.errors import OptionError
from deploy.simulator.frontend import Chunk
from deploy.simulator.options import ServerOptions, checked
from deploy.simulator.server.asked import parse_chat, parse_completion, read_body
from deploy.simulator.server.completions import single_tokens
from deploy.simulator.server.http1 import Answer, BadRequest, HttpRequest, head, take_request
from deploy.simulator.server.wording import ApiError
from deploy.simulator.words import answer, block_hashes, tokens_of

OPTIONS = ServerOptions(engine=EngineOptions(max_model_len=100))


def refusal(body: Any) -> dict[str, Any]:
    with pytest.raises(ApiError) as error:
        parse_completion(body, OPTIONS)
    found: dict[str, Any] = error.value.body["error"]
    return found


def test_takes_one_request_after_the_other() -> None:
    buffer = bytearray(b"POST /a?x=1 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\n\r\nGET")
    first, second = take_request(buffer, "1.2.3.4:5"), take_request(buffer, "")
    assert first
    assert second
    assert (first.method, first.path, dict(first.query), first.body, first.peer) == (
        "POST", "/a", {"x": "1"}, b"hi", "1.2.3.4:5",
    )  # fmt: skip
    assert second.path == "/b"
    assert bytes(buffer) == b"GET"


def test_waits_for_the_whole_body() -> None:
    assert take_request(bytearray(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nhi"), "") is None


@pytest.mark.parametrize("text", [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"a" * 70000])
def test_what_is_no_request_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        take_request(bytearray(text), "")


def test_an_empty_answer_has_no_content_type_as_vllms_health() -> None:
    assert head(Answer(200), True) == b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-length: 0\r\n\r\n"


def test_sixteen_tokens_are_the_default_of_a_completion() -> None:
    asked = parse_completion({"model": "sim", "prompt": "hello"}, OPTIONS)
    assert (asked.max_tokens, asked.n, asked.stream) == (16, 1, False)


def test_a_chat_goes_on_to_the_end_of_the_context() -> None:
    asked = parse_chat({"messages": [{"role": "user", "content": "0123456789012"}]}, OPTIONS)
    assert asked.max_tokens == 100 - 5


def test_prompts_may_be_texts_or_tokens_or_lists_of_them() -> None:
    for prompt, lengths in (("12345", [2]), ([1, 2, 3], [3]), (["1234", "12345"], [1, 2]), ([[1], [2, 3]], [1, 2])):
        assert [len(one) for one in parse_completion({"prompt": prompt}, OPTIONS).prompts] == lengths


def test_an_unknown_model_is_not_found() -> None:
    found = refusal({"model": "gpt", "prompt": "hi"})
    assert (found["code"], found["type"]) == (404, "NotFoundError")
    assert found["message"] == "The model `gpt` does not exist."


def test_a_prompt_beyond_the_context_is_a_bad_request() -> None:
    found = refusal({"prompt": list(range(100))})
    assert (found["code"], found["type"], found["param"]) == (400, "BadRequestError", "input_tokens")
    assert found["message"].startswith(
        "This model's maximum context length is 100 tokens. However, your prompt contains 100"
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [({}, "prompt"), ({"prompt": 3}, "body.prompt"), ({"prompt": "a", "max_tokens": "b"}, "body.max_tokens"),
     ({"prompt": "a", "max_tokens": 0}, "max_tokens"), ({"prompt": "a", "n": True}, "body.n")],
)  # fmt: skip
def test_a_wrong_field_is_named(body: dict[str, Any], param: str) -> None:
    found = refusal(body)
    assert (found["code"], found["param"]) == (400, param)


def test_a_chat_without_messages_is_a_bad_request() -> None:
    with pytest.raises(ApiError, match="Field required"):
        parse_chat({}, OPTIONS)


def test_a_body_that_is_no_json_is_a_bad_request() -> None:
    with pytest.raises(ApiError, match="JSON decode error"):
        read_body(HttpRequest("POST", "/", body=b"{bad"))


def test_equal_beginnings_have_equal_blocks() -> None:
    first, second = (block_hashes(tokens_of("abcdefgh" * 4 + end), 4) for end in ("1234" * 4, "5678" * 4))
    assert len(first) == 3
    assert first[:2] == second[:2]
    assert first[2] != second[2]


def test_the_same_prompt_gets_the_same_words_however_they_are_cut() -> None:
    assert answer(7, 0, 5) == answer(7, 0, 2) + answer(7, 2, 3)
    assert answer(7, 0, 5) != answer(8, 0, 5)
    assert answer(7, 0, 3, corrupted=True) == "!!!"


def test_a_context_that_does_not_fit_into_the_cache_is_refused_at_the_start() -> None:
    with pytest.raises(OptionError, match="raise --num-gpu-blocks or lower --max-model-len"):
        checked(ServerOptions(engine=EngineOptions(num_gpu_blocks=10, block_size=16, max_model_len=4096)))
    checked(ServerOptions())


def test_a_stream_has_an_event_for_each_token_and_the_last_says_why() -> None:
    assert single_tokens(Chunk(3, "length", 16)) == [Chunk(1), Chunk(1), Chunk(1, "length", 16)]
    assert single_tokens(Chunk(0, "abort")) == [Chunk(0, "abort")]
