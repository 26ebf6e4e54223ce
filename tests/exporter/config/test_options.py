from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from vllm_exporter.app import enabled, load_collectors
from vllm_exporter.config.config import load
from vllm_exporter.config.options import parse_options
from vllm_exporter.config.yaml_lines import parse_file
from vllm_exporter.errors import ConfigError
from vllm_exporter.run.collector import Context, NoOptions


@dataclass(frozen=True)
class Options:
    path: str = "/dev/kmsg"
    seconds: float = 2.0
    limit: int = 10
    pss: bool = False
    sources: tuple[str, ...] = ()


def parse(text: str) -> Options:
    section = parse_file(text, "exporter.yml").data
    assert isinstance(section, dict)
    return parse_options(section, Options, "gpu")


def test_reads_each_kind_of_option() -> None:
    text = "path: /x\nseconds: 1.5\nlimit: 3\npss: true\nsources: [a, b]\n"
    assert parse(text) == Options("/x", 1.5, 3, True, ("a", "b"))


def test_what_is_not_given_keeps_its_default() -> None:
    assert parse("limit: 3") == Options(limit=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pth: /x", "exporter.yml line 1: unknown key 'pth' in collector gpu; known: enabled, interval, limit, path,"),
        ("pss: maybe", "exporter.yml line 1: gpu.pss must be true or false, not 'maybe'"),
        ("limit: 3\nseconds: -1", "exporter.yml line 2: gpu.seconds must be a number above 0, not -1"),
        ("limit: 2.5", "exporter.yml line 1: gpu.limit must be a whole number above 0, not 2.5"),
        ("sources: one", "exporter.yml line 1: gpu.sources must be a list, not 'one'"),
    ],
)
def test_a_bad_option_is_told_with_its_line(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert str(refused.value).startswith(words)


def test_a_collector_without_options_takes_none() -> None:
    with pytest.raises(ConfigError, match="unknown key 'x' in collector gpu; known: enabled, interval"):
        parse_options({"x": parse_file("1", "exporter.yml")}, NoOptions, "gpu")


def test_a_context_gives_the_options_of_a_collector() -> None:
    context = Context(load(None, {}, {}))
    assert context.options("gpu", Options) == Options()


def test_a_bad_section_is_refused_before_anything_runs(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("collectors:\n  logs:\n    sources: ['gpu1:8000=nowhere']\n")
    config = load(file, {}, {})
    with pytest.raises(ConfigError, match="'nowhere' is no absolute path"):
        enabled(load_collectors(), config)
