#!/usr/bin/env bash
# The system's programs and the virtual environment .venv. Quick when nothing changed: a stamp holds what it was made from.
set -euo pipefail
cd "$(dirname "$0")/.."
needs=(constraints.txt requirements-dev.txt exporter/pyproject.toml healer/pyproject.toml)
stamp=.venv/.made-from

main() {
  local made_from
  PYTHON=$(scripts/find-python.sh)
  export PYTHON
  scripts/system-packages.sh
  made_from=$({ pwd; version "$PYTHON"; cat "${needs[@]}"; } | sha256sum)
  if usable && [ "$(cat "$stamp" 2>/dev/null)" = "$made_from" ]; then return; fi
  echo "making .venv with $("$PYTHON" --version); this downloads about 50 MB"
  usable || "$PYTHON" -m venv --clear .venv
  pip_install --require-hashes -r constraints.txt
  pip_install --no-deps --no-build-isolation -e ./exporter -e ./healer
  echo "$made_from" >"$stamp"
}

pip_install() { .venv/bin/python -m pip install -q --disable-pip-version-check "$@"; }

version() { "$1" -c 'import sys; print(sys.version)' 2>/dev/null; }

# A copied or moved one has the old path in its programs, and another Python's has another Python's packages.
usable() {
  grep -qsF "$PWD/.venv/bin/python" .venv/bin/pip && [ "$(version .venv/bin/python)" = "$(version "$PYTHON")" ]
}

main
