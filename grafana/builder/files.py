"""Which boards there are, and their files."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import yaml

from grafana import boards
from grafana.builder.board import Board, render

DASHBOARDS = Path(__file__).resolve().parents[1] / "dashboards"


def load() -> dict[str, Board]:
    """Module name -> its BOARD, of each module in boards/. Raises AttributeError where there is none."""
    return {
        module.name: importlib.import_module(f"grafana.boards.{module.name}").BOARD
        for module in pkgutil.iter_modules(boards.__path__)
    }


def contents() -> dict[Path, str]:
    """What has to be in dashboards/."""
    return {
        DASHBOARDS / f"{name}.json": json.dumps(
            render(board, f"grafana/boards/{name}.py"), indent=2, ensure_ascii=False
        )
        + "\n"
        for name, board in load().items()
    }


def write() -> None:
    """Also removes the JSON of boards that are gone."""
    for file, text in contents().items():
        file.write_text(text)
    for file in strangers():
        file.unlink()


def copy(folder: Path) -> None:
    """Writes the boards into a directory of the user's, and leaves what else is there. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in contents().items():
        (folder / f"vllm-monitor-{file.name}").write_text(text)


def config_maps() -> str:
    """YAML of a ConfigMap a board, as the sidecar of Grafana's Helm chart collects them by their label."""
    return "---\n".join(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"vllm-monitor-{file.stem}", "labels": {"grafana_dashboard": "1"}},
                "data": {f"vllm-monitor-{file.name}": text},
            },
            sort_keys=False,
        )
        for file, text in contents().items()
    )


def outdated() -> list[Path]:
    wrong = [file for file, text in contents().items() if not file.exists() or file.read_text() != text]
    return sorted([*wrong, *strangers()])


def strangers() -> set[Path]:
    """Files that no board makes."""
    return set(DASHBOARDS.glob("*.json")) - set(contents())
