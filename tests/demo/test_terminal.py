"""How lines look."""

from __future__ import annotations

import io

from deploy.demo.sentences import Sentence
from deploy.demo.terminal import line, table, wants_colour

STALLED = Sentence("k", 31.25, "exporter", "work is there and nothing has moved for 30 s", "yellow")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_sentence_goes_on_under_its_own_words() -> None:
    assert line(STALLED, colour=False, width=50).splitlines() == [
        "  31.2 s  exporter  work is there and nothing has",
        "                    moved for 30 s",
    ]


def test_each_line_has_its_colour() -> None:
    assert line(STALLED, colour=True, width=50).splitlines() == [
        "\033[33m  31.2 s  exporter  work is there and nothing has\033[0m",
        "\033[33m                    moved for 30 s\033[0m",
    ]


def test_colours_are_for_terminals_and_for_people_who_want_them() -> None:
    assert wants_colour(Terminal(), {})
    assert not wants_colour(Terminal(), {"NO_COLOR": "1"})
    assert not wants_colour(io.StringIO(), {})
    assert wants_colour(io.StringIO(), {"FORCE_COLOR": "1"})


def test_a_table_is_as_wide_as_its_words() -> None:
    assert table(("failure", "after"), [("hang", "51 s"), ("saturate", "")]) == (
        "failure   after\nhang      51 s\nsaturate"
    )
