"""Reads a completion request: the body of /v1/completions and /v1/chat/completions, checked as vLLM does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.simulator.options import ServerOptions
from deploy.simulator.server.http1 import HttpRequest
from deploy.simulator.server.wording import bad_field, bad_json, bad_value, too_long, unknown_model
from deploy.simulator.words import tokens_of

DEFAULT_MAX_TOKENS = 16  # of /v1/completions; chat goes on to the end of the context

Tokens = Sequence[str] | Sequence[int]


@dataclass(frozen=True)
class Asked:
    """One request's wishes."""

    prompts: tuple[Tokens, ...]
    n: int  # answers for each prompt
    max_tokens: int
    stream: bool
    include_usage: bool  # a last chunk with the numbers
    ignore_eos: bool  # goes on to max_tokens


def read_body(request: HttpRequest) -> Mapping[str, Any]:
    """Raises ApiError."""
    try:
        body = request.json()
    except ValueError as error:
        raise bad_json(getattr(error, "pos", 0)) from None
    if not isinstance(body, dict):
        raise bad_field("model_attributes_type", "", "Input should be a valid dictionary", body)
    return body


def parse_completion(body: Mapping[str, Any], options: ServerOptions) -> Asked:
    """Raises ApiError."""
    prompt = body.get("prompt")
    if not prompt:
        raise bad_value("prompt", "Either prompt or prompt_embeds must be provided and non-empty.")
    return _asked(body, _prompts(prompt), DEFAULT_MAX_TOKENS, options)


def parse_chat(body: Mapping[str, Any], options: ServerOptions) -> Asked:
    """Raises ApiError."""
    messages = body.get("messages")
    if messages is None:
        raise bad_field("missing", "messages", "Field required", dict(body))
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise bad_field("list_type", "messages", "Input should be a valid list", messages)
    text = "".join(f"{message.get('role', '')}: {message.get('content', '')}\n" for message in messages)
    return _asked(body, (tokens_of(text),), options.engine.max_model_len, options)


def _asked(body: Mapping[str, Any], prompts: tuple[Tokens, ...], default: int, options: ServerOptions) -> Asked:
    model = body.get("model")
    if model is not None and model != options.model:
        raise unknown_model(model)
    limit = options.engine.max_model_len
    longest = max(map(len, prompts))
    if longest >= limit:
        raise too_long(limit, longest)
    asked = body.get("max_completion_tokens")
    max_tokens = _number(body, "max_tokens", default) if asked is None else _number(body, "max_completion_tokens", 1)
    return Asked(
        prompts=prompts,
        n=_number(body, "n", 1),
        max_tokens=min(max_tokens, limit - longest),
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        ignore_eos=bool(body.get("ignore_eos")),
    )


def _number(body: Mapping[str, Any], name: str, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise bad_field("int_parsing", name, "Input should be a valid integer", value)
    if value < 1:
        raise bad_value(name, f"{name} must be at least 1, got {value}.")
    return value


def _prompts(prompt: object) -> tuple[Tokens, ...]:
    """A text, a list of token ids, or a list of either."""
    if isinstance(prompt, str):
        return (tokens_of(prompt),)
    if isinstance(prompt, list):
        if all(isinstance(token, int) for token in prompt):
            return (prompt,)
        if all(isinstance(item, str | list) and item for item in prompt):
            return tuple(tokens_of(item) for item in prompt)
    raise bad_field("string_type", "prompt", "Input should be a valid string", prompt)
