"""POST /v1/completions and /v1/chat/completions, as a whole or as server-sent events."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from deploy.simulator.engine.model import Request
from deploy.simulator.errors import EngineDead
from deploy.simulator.frontend import Chunk, Frontend
from deploy.simulator.options import ServerOptions
from deploy.simulator.server.asked import Asked, Tokens, parse_chat, parse_completion, read_body
from deploy.simulator.server.http1 import Answer, HttpRequest, json_answer
from deploy.simulator.server.shapes import CHAT, COMPLETION, Shape, usage
from deploy.simulator.server.wording import engine_dead
from deploy.simulator.words import POISON, answer, answer_length, answer_seed, block_hashes


@dataclass(frozen=True)
class _Choice:
    """One answer to be generated."""

    index: int
    request: Request
    seed: int


class Completions:
    """Turns bodies into engine requests and tokens into words. `corrupted`: the words are garbage."""

    def __init__(self, options: ServerOptions, frontend: Frontend) -> None:
        self._options = options
        self._frontend = frontend
        self._made_up = itertools.count()
        self.corrupted = False

    async def complete(self, request: HttpRequest) -> Answer:
        return await self._answer(request, COMPLETION, parse_completion(read_body(request), self._options))

    async def chat(self, request: HttpRequest) -> Answer:
        return await self._answer(request, CHAT, parse_chat(read_body(request), self._options))

    async def _answer(self, request: HttpRequest, shape: Shape, asked: Asked) -> Answer:
        if self._frontend.dead:
            raise engine_dead()
        name = request.headers.get("x-request-id") or uuid.uuid4().hex[:16]
        id_ = f"{shape.prefix}-{name}"
        choices = self._choices(id_, asked)
        if asked.stream:
            events = self._events(id_, shape, asked, choices)
            return Answer(content_type="text/event-stream; charset=utf-8", parts=events)
        return await self._whole(id_, shape, choices)

    def _choices(self, id_: str, asked: Asked) -> list[_Choice]:
        pairs = [prompt for prompt in asked.prompts for _ in range(asked.n)]
        return [self._choice(f"{id_}-{index}", index, prompt, asked) for index, prompt in enumerate(pairs)]

    def _choice(self, id_: str, index: int, prompt: Tokens, asked: Asked) -> _Choice:
        engine = self._options.engine
        seed = answer_seed(prompt, self._options.seed)
        length = asked.max_tokens if asked.ignore_eos else answer_length(seed, self._options.answer_tokens)
        request = Request(
            id=f"{id_}-{next(self._made_up)}",
            arrival=self._options.clock.now(),
            prompt_tokens=len(prompt),
            output_tokens=length,
            max_tokens=asked.max_tokens,
            block_hashes=block_hashes(prompt, engine.block_size) if engine.enable_prefix_caching else (),
            poison=POISON in "".join(map(str, prompt)),
        )
        return _Choice(index, request, seed)

    async def _whole(self, id_: str, shape: Shape, choices: list[_Choice]) -> Answer:
        try:
            done = await asyncio.gather(*(self._finish(choice) for choice in choices))
        except EngineDead:
            raise engine_dead() from None
        texts = [self._text(choice, 0, chunk.tokens) for choice, chunk in zip(choices, done, strict=True)]
        rows = [shape.choice(choice.index, text, chunk.reason or "")
                for choice, text, chunk in zip(choices, texts, done, strict=True)]  # fmt: skip
        prompt = sum(choice.request.prompt_tokens for choice in choices)
        return json_answer(self._envelope(id_, shape.kind, rows, usage(prompt, sum(chunk.tokens for chunk in done))))

    async def _finish(self, choice: _Choice) -> Chunk:
        """All tokens of one answer."""
        tokens = 0
        async with aclosing(self._frontend.generate(choice.request)) as chunks:
            async for chunk in chunks:
                tokens += chunk.tokens
        return Chunk(tokens, chunk.reason, chunk.cached_tokens)

    async def _events(self, id_: str, shape: Shape, asked: Asked, choices: list[_Choice]) -> AsyncIterator[bytes]:
        """An engine that dies in between ends them with an error inside HTTP 200, as in vLLM."""
        prompt, total = sum(choice.request.prompt_tokens for choice in choices), 0
        try:
            for choice in choices:
                if first := shape.first(choice.index):
                    yield _event(self._envelope(id_, shape.part_kind, [first]))
                async for chunk, row in self._rows(shape, choice):
                    total += chunk.tokens
                    yield _event(self._envelope(id_, shape.part_kind, [row]))
            if asked.include_usage:
                yield _event(self._envelope(id_, shape.part_kind, [], usage(prompt, total)))
        except EngineDead:
            yield _event(engine_dead().body)
        yield b"data: [DONE]\n\n"

    async def _rows(self, shape: Shape, choice: _Choice) -> AsyncIterator[tuple[Chunk, dict[str, object]]]:
        sent = 0
        async with aclosing(self._frontend.generate(choice.request)) as chunks:
            async for chunk in chunks:
                for one in single_tokens(chunk):
                    yield one, shape.part(choice.index, self._text(choice, sent, one.tokens), one.reason)
                    sent += one.tokens

    def _text(self, choice: _Choice, start: int, count: int) -> str:
        return answer(choice.seed, start, count, self.corrupted)

    def _envelope(
        self, id_: str, kind: str, rows: list[dict[str, object]], numbers: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        known = {"id": id_, "object": kind, "created": int(time.time()), "model": self._options.model, "choices": rows}
        return known if numbers is None else {**known, "usage": numbers}


def single_tokens(chunk: Chunk) -> list[Chunk]:
    """An event for each token, as vLLM streams them; the last one says how it ended. An aborted one may have none."""
    if chunk.tokens <= 1:
        return [chunk]
    return [Chunk(1)] * (chunk.tokens - 1) + [Chunk(1, chunk.reason, chunk.cached_tokens)]


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
