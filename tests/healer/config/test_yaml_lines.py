"""Reading values that are written in many ways; the exporter's tests read the same file's other methods."""

from __future__ import annotations

import pytest

from vllm_healer.config.yaml_lines import Value, parse_file
from vllm_healer.errors import ConfigError


def value(text: str) -> Value:
    return parse_file(text, "healer.yml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8000", "8000"), ("on", "on"), ("007", "007"), ("1.10", "1.10"), ("2026-03-01", "2026-03-01"), ("' a '", "a")],
)
def test_a_scalar_is_what_stands_in_the_file(text: str, expected: str) -> None:
    assert value(text).scalar("pool") == expected


@pytest.mark.parametrize("text", ["", "~", "null"])
def test_nothing_written_is_the_default(text: str) -> None:
    assert value(text).scalar("pool", "default") == "default"
    assert value(text).number("max_signal_age", 1, 15.0) == 15.0
    assert value(text).whole("budget_per_hour", 0, 3) == 3


@pytest.mark.parametrize("text", ["[a]", "{a: b}"])
def test_a_list_or_keys_are_no_single_value(text: str) -> None:
    with pytest.raises(ConfigError, match=r"healer\.yml line 1: pool must be a single value, not "):
        value(text).scalar("pool")


@pytest.mark.parametrize(("text", "expected"), [("15", 15.0), ("1.5", 1.5), ("'15'", 15.0), ("1e3", 1000.0)])
def test_a_number_may_be_written_in_each_usual_way(text: str, expected: float) -> None:
    assert value(text).number("max_signal_age", 1, 0.0) == expected


@pytest.mark.parametrize("text", ["0.5", "-1", ".inf", "nan", "true", "1:30", "soon"])
def test_what_is_too_small_endless_or_no_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"healer\.yml line 1: max_signal_age must be a number"):
        value(text).number("max_signal_age", 1, 15.0)


def test_a_fraction_is_no_whole_number() -> None:
    with pytest.raises(ConfigError, match=r"line 1: budget_per_hour must be a whole number, not 1\.5"):
        value("1.5").whole("budget_per_hour", 0, 3)
    assert value("2.0").whole("budget_per_hour", 0, 3) == 2


def test_a_section_has_every_known_key_and_names_the_line_of_each() -> None:
    given = value("server: a:1\n\nurl: http://a:1\n").section(("server", "url", "pool"), "a target")
    assert {key: (one.scalar(key), one.where) for key, one in given.items()} == {
        "server": ("a:1", "healer.yml line 1"),
        "url": ("http://a:1", "healer.yml line 3"),
        "pool": ("", "healer.yml line 1"),
    }


def test_an_unknown_key_of_a_section_is_refused() -> None:
    with pytest.raises(ConfigError, match="line 1: unknown key 'servr' in a target; known: server, url"):
        value("servr: a:1").section(("server", "url"), "a target")
