"""What an excerpt must not hold."""

from __future__ import annotations

import time

import pytest

from vllm_exporter.subjects.logs.redact import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Worker proc VllmWorker-0 died (exit code: -9)", "Worker proc VllmWorker-0 died (exit code: -9)"),
        ("the model's max seq len (1024) is", "the model's max seq len (1024) is"),
        ("prompt 'my name is Ann', n=1", "prompt '…', n=1"),
        ('prompt "my name is', 'prompt "…"'),
        ("got 'a \"b\" don\\'t tell' here", "got '…' here"),
        ('got "two\nlines" here', 'got "…" here'),
        ('got "two\nlines', 'got "…"'),
        ("The model `ann's secret model` does not exist.", "The model `…` does not exist."),
        ("from https://ann:pw@hub.example:8080/a/b?token=1 failed", "from https://hub.example:8080 failed"),
        ("api_key=abc HF_TOKEN: hf_short", "api_key=… HF_TOKEN: …"),
        ("Authorization: Bearer abc", "Authorization: …"),
        ("using sk-abc123 and hf_abcdefgh and eyJhbGciOi.x", "using … and … and …"),
        ("id 0123456789abcdef0123456789abcdef", "id …"),
        ("for tokens [101, 2023, 2003] of", "for tokens … of"),
        ("non-default args: {'api_key': 'x'}", "non-default args: …"),
        ("[shutdown] API server: [Errno 98] [FT]", "[shutdown] API server: [Errno 98] [FT]"),
        ("two\tparts\x07\x1b[0m", "two parts  [0m"),
    ],
)
def test_hides_what_is_nobodys_business(text: str, shown: str) -> None:
    assert redact(text.encode()) == shown


def test_cuts_a_long_text_and_survives_bytes_that_are_none() -> None:
    assert redact(b"ab " * 200) == ("ab " * 80)[:239] + "…"
    assert redact(b"\xff\xfe ok") == "�� ok"


@pytest.mark.parametrize(
    "text", [b"'" * 5000, b"1a" * 5000, b"{" * 5000, b"key key " * 1000, b"a://" * 2000, b"[1" * 4000]
)
def test_takes_less_than_50_ms_for_any_text(text: bytes) -> None:
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 0.05
