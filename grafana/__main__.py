"""Makes Grafana's JSON from the boards.

write: makes dashboards/*.json, or with --out a copy elsewhere, or with --configmap one file for Kubernetes.
check: says whether they are up to date. page: prints docs/dashboards.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grafana.builder import files
from grafana.builder.page import page


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m grafana", description=__doc__)
    parser.add_argument("command", choices=("write", "check", "page"))
    parser.add_argument("--out", type=Path, help="a directory for the JSON files, made where it is missing")
    parser.add_argument("--configmap", type=Path, help="a file for the ConfigMaps of all boards")
    given = parser.parse_args(arguments)
    if given.command == "write":
        return write(given.out, given.configmap)
    if given.command == "page":
        print(page(files.load()), end="")
    elif wrong := files.outdated():
        print(f"not up to date: {', '.join(file.name for file in wrong)}; run: make dashboards", file=sys.stderr)
        return 1
    return 0


def write(out: Path | None, config_map: Path | None) -> int:
    try:
        if out is not None:
            files.copy(out)
        if config_map is not None:
            config_map.write_text(files.config_maps())
    except OSError as error:
        print(f"cannot write the boards to {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    if out is None and config_map is None:
        files.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
