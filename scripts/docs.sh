#!/usr/bin/env bash
# Writes the generated pages of docs/; with --check, says whether they are up to date.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
  generated docs/settings.md deploy.config page settings
  generated .env.example deploy.config page env-example
  generated deploy/compose/settings.env deploy.config page compose-env
  generated docs/dashboards.md grafana page
  generated docs/log-classes.md scripts.log_classes_page
  generated docs/lifecycle.md scripts.lifecycle_page
  python -m scripts.metrics_pages ${mode:+"$mode"}
  python -m scripts.events_page ${mode:+"$mode"}
  python -m scripts.index_page ${mode:+"$mode"}
}

generated() { # file, module, what its command line needs
  local file=$1
  if [ "$mode" = --check ]; then
    python -m "${@:2}" | diff -u "$file" - || { echo "$file is not up to date: make docs" >&2; exit 1; }
  else
    python -m "${@:2}" >"$file.new"
    mv "$file.new" "$file"
  fi
}

mode=${1:-}
export PATH="$PWD/.venv/bin:$PATH"
main
