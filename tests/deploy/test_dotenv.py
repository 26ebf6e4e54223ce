from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config.dotenv import parse_dotenv, read_dotenv
from deploy.errors import SettingsError


def values(text: str) -> dict[str, str]:
    return {entry.key: entry.value for entry in parse_dotenv(text, ".env")}


def test_reads_values_quotes_and_comments() -> None:
    text = """
# servers
VLLM_TARGETS=a:8000,b:8000   # two of them
export HEALER_PORT = 9856
SMTP_TO="on call <a@b.c>"  # quoted
ALERT_WEBHOOK_URL='http://h/x#y'
EMPTY=
COMMENT= # nothing
"""
    assert values(text) == {
        "VLLM_TARGETS": "a:8000,b:8000",
        "HEALER_PORT": "9856",
        "SMTP_TO": "on call <a@b.c>",
        "ALERT_WEBHOOK_URL": "http://h/x#y",
        "EMPTY": "",
        "COMMENT": "",
    }


def test_a_hash_inside_a_word_belongs_to_the_value() -> None:
    assert values("ALERT_WEBHOOK_URL=http://h/x#y") == {"ALERT_WEBHOOK_URL": "http://h/x#y"}


def test_knows_the_line_of_each_value() -> None:
    assert [entry.where for entry in parse_dotenv("\nA=1\n\nB=2\n", ".env")] == [".env line 2", ".env line 4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nVLLM_TARGETS localhost:8000", r"\.env line 2: expected KEY=VALUE, got 'VLLM_TARGETS localhost:8000'"),
        ("=1", r"\.env line 1: expected KEY=VALUE, got '=1'"),
        ("HEALER-PORT=1", r"\.env line 1: 'HEALER-PORT' is not a name: letters, digits and '_' only"),
        ('SMTP_TO="a', r'\.env line 1: SMTP_TO has no closing "'),
        ("SMTP_TO='a' b", r"\.env line 1: SMTP_TO has no closing ' or text after it"),
        ("A=1\nA=2", r"\.env line 2: A is set a second time, first in \.env line 1: remove one"),
    ],
)
def test_names_the_line_that_it_does_not_understand(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_dotenv(text, ".env")


def test_no_file_is_no_settings(tmp_path: Path) -> None:
    assert read_dotenv(tmp_path / ".env") == ()


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe")
    with pytest.raises(SettingsError, match=r"\.env: cannot be read as text"):
        read_dotenv(tmp_path / ".env")
