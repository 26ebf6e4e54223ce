#!/usr/bin/env bash
# Writes the generated pages of docs/; with --check, says whether they are up to date.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
  generated settings deploy.config keys
  generated dashboards grafana page
  generated log-classes scripts.log_classes_page
  generated lifecycle scripts.lifecycle_page
  python -m scripts.metrics_pages ${mode:+"$mode"}
  python -m scripts.events_page ${mode:+"$mode"}
}

generated() { # page, module, what its command line needs
  local file=docs/$1.md
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
