"""The model of a request, found in its bytes as they pass: as a parser would find it, however the body is cut."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from vllm_monitor.body_scan import MOST, UNKNOWN, BodyScan


def scanned(*parts: bytes) -> BodyScan:
    scan = BodyScan()
    for number, part in enumerate(parts, 1):
        scan.feed(part, number < len(parts))
    return scan


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model":"tiny","prompt":"hello"}', "tiny"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "model" : "org/Model-7B"}', "org/Model-7B"),
        (b'{"model":"org\\/name"}', "org/name"),  # as PHP writes it
        (b'{"prompt":"{\\"model\\":\\"fake\\"}"}', UNKNOWN),
        (b'{"x\\"model":"fake"}', UNKNOWN),
        (b'{"metadata":{"model":"fake"}}', UNKNOWN),
        (b'{"messages":[{"model":"fake"}],"model":"real"}', "real"),
        (b'{"prompt":"model","suffix":":","model":"real"}', "real"),
        (b'{"model":"first","model":"last"}', "last"),  # as Python's parser has it
        (b'{"model":"a\\u0062"}', UNKNOWN),
        (b'{"model":"a\\"b"}', UNKNOWN),
        (b'{"model":"<script>{x=\'1\'}"}', "_script__x__1__"),
        (b'{"model":null}', UNKNOWN),
        (b'{"model":7}', UNKNOWN),
        (b'{"model":""}', UNKNOWN),
        (b'["model","x"]', UNKNOWN),
        (b"", UNKNOWN),
        (b"{", UNKNOWN),
        (b"\x00\xff" * 5000, UNKNOWN),
        ('{"model":"é"}'.encode("utf-16"), UNKNOWN),
        (b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n', UNKNOWN),
    ],
)
def test_the_model_is_that_of_the_outermost_object(body: bytes, model: str) -> None:
    assert scanned(body).model == model
    assert scanned(*(body[at : at + 1] for at in range(len(body)))).model == model


def test_a_priority_is_found_beside_it() -> None:
    assert scanned(b'{"priority": -3, "model": "m", "x": {"priority": 9}}').priority == -3
    assert scanned(b'{"model": "m", "priority": 1', b"2}").priority == 12
    assert scanned(b'{"priority": "high"}').priority == 0


def test_what_stands_behind_the_first_64_kib_is_not_looked_at() -> None:
    body = json.dumps({"prompt": "x" * MOST, "model": "late"}).encode()
    assert scanned(body).model == UNKNOWN
    assert scanned(body[:1000], body[1000:70_000], body[70_000:]).model == UNKNOWN
    assert scanned(json.dumps({"model": "early", "prompt": "x" * MOST}).encode()).model == "early"


def test_a_body_full_of_keys_is_given_up() -> None:
    assert scanned(b'{"model":"x",' * 5000).model == UNKNOWN


@pytest.mark.parametrize(
    "body", [b"{" * MOST, b'""' * (MOST // 2), b'{"' + b"\\" * MOST, b'{"a":"' + b'\\"model":"x' * 6000]
)
def test_no_body_takes_more_time_than_a_parser_would(body: bytes) -> None:
    """Worst seen: 5 ms for 64 KiB in parts of 100 bytes. What would backtrack would take minutes."""
    began = time.thread_time()
    scanned(*(body[at : at + 100] for at in range(0, len(body), 100)))
    assert time.thread_time() - began < 0.5


def some_text(dice: random.Random, length: int) -> str:
    return "".join(dice.choice('abc"\\{}[]:,model é\n') for _ in range(dice.randrange(length)))


def some_value(dice: random.Random, depth: int) -> Any:
    kind = dice.randrange(6 if depth < 4 else 4)
    if kind < 4:
        return (dice.randrange(100), None, "model", some_text(dice, dice.choice((5, 30, 3000))))[kind]
    if kind == 4:
        return [some_value(dice, depth + 1) for _ in range(dice.randrange(4))]
    keys = (dice.choice(("model", "priority", "x\\", 'y"model', some_text(dice, 9))) for _ in range(dice.randrange(4)))
    return {key: some_value(dice, depth + 1) for key in keys}


def some_body(dice: random.Random) -> dict[str, Any]:
    body = {some_text(dice, 12): some_value(dice, 1) for _ in range(dice.randrange(6))}
    if dice.random() < 0.8:
        body["model"] = dice.choice(("m", "meta-llama/Llama-3", "x" * 60))
    if dice.random() < 0.5:
        body["priority"] = dice.randrange(-5, 99)
    items = list(body.items())
    dice.shuffle(items)
    return dict(items)


def some_parts(dice: random.Random, body: bytes) -> list[bytes]:
    parts, at = [], 0
    while at < len(body):
        size = dice.choice((1, 2, 3, 7, 50, 500, 5000))
        parts.append(body[at : at + size])
        at += size
    return parts


def test_ten_thousand_bodies_cut_anywhere_give_what_a_parser_finds() -> None:
    dice, known = random.Random(11), 0
    for _ in range(10_000):
        body = some_body(dice)
        text = json.dumps(body, indent=dice.choice((None, 1)), ensure_ascii=dice.random() < 0.5).encode()
        if len(text) > MOST:
            continue
        found = scanned(*some_parts(dice, text))
        model, priority = body.get("model"), body.get("priority")
        assert found.model == (model if isinstance(model, str) and model else UNKNOWN), text
        assert found.priority == (priority if isinstance(priority, int) else 0), text
        known += found.model != UNKNOWN
    assert known > 7000
