"""The servers that are watched against the targets of healer.yml."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_healer.config import Config, Mode, compare_watched
from vllm_healer.config.config import load
from vllm_healer.errors import ConfigError
from vllm_healer.model import Target


def config(watched: tuple[str, ...], listed: tuple[str, ...], mode: Mode = Mode.DRY_RUN) -> Config:
    targets = tuple(Target(server, f"http://{server}", "pool", "dry_run") for server in listed)
    return Config(mode=mode, watched=watched, targets=targets)


def said(of: Config) -> list[str]:
    return [f"{one.kind} {one.server}" for one in compare_watched(of)]


def test_each_difference_is_told_in_both_directions() -> None:
    assert said(config(("a:1", "b:1", "c:1"), ("b:1", "d:1"))) == ["unlisted a:1", "unlisted c:1", "unwatched d:1"]


def test_the_same_servers_in_another_order_do_not_differ() -> None:
    assert said(config(("a:1", "b:1"), ("b:1", "a:1"))) == []


def test_without_word_of_what_is_watched_nothing_is_compared() -> None:
    assert said(config((), ("a:1",))) == []


def test_as_shipped_nobody_expects_healing_and_in_mode_act_everybody_does() -> None:
    assert said(config(("a:1",), ())) == []
    assert said(config(("a:1",), (), Mode.ACT)) == ["unlisted a:1"]


def test_the_words_say_what_follows_and_what_to_do() -> None:
    first, second = map(str, compare_watched(config(("a:1",), ("b:1",))))
    assert first == "a:1 is watched and not in targets: failures there are only reported; list it to have it healed"
    assert second == (
        "b:1 is in targets and not watched: no alert comes from there, so that nothing is ever healed; "
        "add it to VLLM_TARGETS, or correct its address"
    )


def test_a_loopback_address_is_named_after_this_host(tmp_path: Path) -> None:
    file = tmp_path / "healer.yml"
    file.write_text("watched: [localhost:8000, '127.0.0.1:8000', gpu2:8000]\n")
    assert load(file, {}, {}, "gpu1").watched == ("gpu1:8000", "gpu2:8000")
    file.write_text("watched: [http://gpu2:8000]\n")
    with pytest.raises(ConfigError, match=r"healer\.yml line 1: watched 'http://gpu2:8000' is not host:port"):
        load(file, {}, {}, "gpu1")
