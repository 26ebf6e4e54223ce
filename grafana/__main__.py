"""Makes Grafana's JSON from the boards.

write: makes dashboards/*.json. check: says whether they are up to date. page: prints docs/dashboards.md.
"""

from __future__ import annotations

import argparse
import sys

from grafana.builder import files
from grafana.builder.page import page


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m grafana", description=__doc__)
    parser.add_argument("command", choices=("write", "check", "page"))
    command = parser.parse_args(arguments).command
    if command == "write":
        files.write()
    elif command == "page":
        print(page(files.load()), end="")
    elif wrong := files.outdated():
        print(f"not up to date: {', '.join(file.name for file in wrong)}; run: make dashboards", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
