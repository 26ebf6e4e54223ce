"""Panels of words: a text, the lines of a log."""

from __future__ import annotations

from grafana.builder.panel import LOKI, Panel, Query


def text(title: str, description: str, markdown: str, *, width: int = 24, height: int = 3) -> Panel:
    return Panel(
        "text", title, description, "none", (), width, height, options={"mode": "markdown", "content": markdown}
    )


def log_lines(title: str, description: str, logql: str, *, width: int = 24, height: int = 10) -> Panel:
    """The newest first; a click shows a line's fields."""
    return Panel(
        "logs",
        title,
        description,
        "none",
        (Query(logql),),
        width,
        height,
        options={
            "showTime": True,
            "sortOrder": "Descending",
            "wrapLogMessage": True,
            "enableLogDetails": True,
            "dedupStrategy": "none",
            "showLabels": False,
            "showCommonLabels": False,
            "prettifyLogMessage": False,
        },
        datasource=LOKI,
    )
