from __future__ import annotations

import pytest

from vllm_exporter.log import log, logfmt


def test_quotes_what_has_more_than_plain_characters() -> None:
    assert logfmt({"a": "plain-1:2", "b": "two words", "c": 'say "x"\n', "d": 7, "e": ""}) == (
        r'a=plain-1:2 b="two words" c="say \"x\"\n" d=7 e=""'
    )


def test_writes_one_line_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log("warning", "something\nhappened", server="a:1")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("time=2")
    assert err.endswith('Z level=warning msg="something\\nhappened" server=a:1\n')


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a\n\x1b[2Jb.snap", r'"a\n\x1b[2Jb.snap"'),
        ("\x9b2J\x07\x7f", r'"\x9b2J\x07\x7f"'),
        ("\u202egpj", r'"\u202egpj"'),
        ("\ud800", r'"\ud800"'),
        ("größer", '"größer"'),
    ],
)
def test_a_terminal_takes_no_orders_from_a_log(said: str, shown: str) -> None:
    assert logfmt({"file": said}) == f"file={shown}"
