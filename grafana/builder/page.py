"""docs/dashboards.md: how to use the boards, and what each panel says, from the panels' own descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from grafana.builder.board import BOARDS, Board

HEAD = Path(__file__).with_suffix(".md")


def page(boards: Mapping[str, Board]) -> str:
    return HEAD.read_text() + "".join("\n".join(section(name, boards[name])) + "\n" for name in BOARDS)


def section(name: str, board: Board) -> Iterator[str]:
    """The board, panel by panel."""
    yield f"\n## {board.title}\n\n`grafana/dashboards/{name}.json`. {board.description}\n"
    yield f"![{board.title}, in Grafana 9.4 with the demo's servers](pictures/{name}.png)\n"
    for row in board.rows:
        if row.question:
            yield f"\n**{row.question}**\n"
        if row is board.rows[0] or row.question:
            yield "| panel | shows |\n|---|---|"
        yield from (f"| {panel.title} | {panel.description} |" for panel in row.panels)
