"""The page of classes of log lines."""

from __future__ import annotations

from scripts.log_classes_page import page
from vllm_exporter.subjects.logs.table import parse_table

TABLE = """
a.stall error starting=info
  do Look for a hang.
  pattern no block in * seconds
  example no block in 60 seconds
  source printed by x
b.echo critical wrapper
  pattern a `name`
  state engine_dead
  example a `name`
  source x 1, a.py
  pattern b | c
  example b | c
  source x 1, a.py
"""


def test_has_a_row_for_each_class() -> None:
    assert page(parse_table(TABLE, examples=True)).splitlines()[-2:] == [
        "| `a.stall` | error, info | `no block in * seconds` |  | Look for a hang. | printed by x |",
        "| `b.echo` | critical, symptom | `` a `name` ``<br>`b \\| c` | `engine_dead` |  | x 1, a.py |",
    ]
