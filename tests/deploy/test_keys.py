from __future__ import annotations

import re
from pathlib import Path

from deploy.config.keys import KEYS
from deploy.config.settings import Ports, load_settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_file_shows_every_setting_and_no_other() -> None:
    names = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    assert sorted(names) == sorted(key.name for key in KEYS)


def test_the_example_file_can_be_used_as_it_is() -> None:
    assert load_settings(ROOT / ".env.example", {}, "gpu1").ports == Ports()


def test_default_ports_are_those_of_the_table() -> None:
    table = {key.name: key.default for key in KEYS}
    assert {f"{part.upper()}_PORT": str(port) for part, port in Ports().by_part().items()}.items() <= table.items()
