"""The settings of a user, for the tests of channels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.config.people import People
from deploy.config.settings import load_settings


@pytest.fixture
def people_of(tmp_path: Path) -> Callable[..., People]:
    """Reads the text of a .env, beside which `files` (name -> text) lie."""

    def load(env: str, **files: str) -> People:
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        (tmp_path / ".env").write_text(env)
        return load_settings(tmp_path / ".env", {}, "gpu1").people

    return load
