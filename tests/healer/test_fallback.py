"""The channel of last resort: a message counts as sent when it was taken, and only then."""

from __future__ import annotations

import logging
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vllm_healer.app import fallback


def channel(folder: Path, url: str) -> str:
    (folder / "webhook").write_text(f"{url}\n")
    return str(folder / "webhook")


@pytest.mark.parametrize(("status", "taken"), [(200, True), (204, True), (302, False), (429, False), (503, False)])
def test_only_a_good_answer_is_a_delivery(
    server: Any, http: ModuleType, tmp_path: Path, status: int, taken: bool
) -> None:
    server.say("/hook", http.Reply(status, headers={"Location": f"{server.url}/login"}))
    assert fallback(channel(tmp_path, f"{server.url}/hook"))("no Watchdog") is taken
    assert server.paths() == ["/hook"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/secret", "no-url-at-all", ""])
def test_nobody_there_is_no_delivery_and_the_url_stays_secret(
    tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        assert fallback(channel(tmp_path, url))("no Watchdog") is False
    assert "no Watchdog" in caplog.text
    assert not url or url not in caplog.text


def test_a_file_that_is_gone_is_no_delivery(tmp_path: Path) -> None:
    assert fallback(str(tmp_path / "gone"))("no Watchdog") is False


def test_without_a_file_the_log_is_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        assert fallback("")("no Watchdog") is True
    assert "fallback channel: no Watchdog" in caplog.text
