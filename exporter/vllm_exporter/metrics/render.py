"""Renders the text formats of /metrics. No I/O.

https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Literal

from vllm_exporter.metrics.family import Family, LabelValues
from vllm_exporter.metrics.gzip import Piece
from vllm_exporter.metrics.series import Block, Layout

Format = Literal["text", "openmetrics"]

CONTENT_TYPES: dict[Format, str] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
END: dict[Format, Piece] = {"text": Piece(b""), "openmetrics": Piece(b"# EOF\n")}


def render(blocks: Iterable[Block], text_format: Format = "text") -> list[Piece]:
    """Returns the page. No family may be in two blocks: its samples must stand together."""
    return [*(render_block(block, text_format) for block in blocks), END[text_format]]


def render_block(block: Block, text_format: Format) -> Piece:
    """Returns the block's text, which is kept with the block: many readings are older than the last scrape."""
    piece = block.pieces.get(text_format)
    if piece is None:
        text = fill_template(block, text_format)
        piece = block.pieces[text_format] = Piece(text.encode("utf-8", errors="replace"))
    return piece


def fill_template(block: Block, text_format: Format) -> str:
    """Returns the text. All but the numbers is kept with the layout, which leaves a tenth of the work."""
    template = block.layout.templates.get(text_format)
    if template is None:
        template = block.layout.templates[text_format] = make_template(block.layout, text_format)
    numbers = block.numbers if block.finite else map(number, block.numbers)
    return template % tuple(numbers)


def make_template(layout: Layout, text_format: Format) -> str:
    """Returns HELP and TYPE of each family, then its samples, with a %s for each number."""
    lines: list[str] = []
    for whole, members in groupby(layout.series, key=lambda one: one[0].whole):
        lines += head(whole, text_format)
        lines += [f"{prefix(family, values)} %s" for family, values in members]
    return "".join(f"{line}\n" for line in lines)


def head(family: Family, text_format: Format) -> tuple[str, str]:
    """Returns HELP and TYPE. OpenMetrics names a counter without the _total of its samples, and escapes quotes too."""
    if text_format == "openmetrics":
        name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
        words = escape_label(family.help)
    else:
        name, words = family.name, escape_help(family.help)
    return f"# HELP {name} {_literal(words)}", f"# TYPE {name} {family.kind}"


def prefix(family: Family, values: LabelValues) -> str:
    """Returns a sample's text up to its value: the name and the labels, with %% for each %."""
    pairs = zip(family.labels, values, strict=True)
    labels = ",".join(f'{name}="{_literal(escape_label(value))}"' for name, value in pairs)
    return f"{family.name}{{{labels}}}" if labels else family.name


def number(value: float) -> str:
    """Spells NaN, +Inf and -Inf as the format requires, all others as Python does."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def escape_label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _literal(text: str) -> str:
    return text.replace("%", "%%")
