#!/usr/bin/env bash
# Runs each benchmark, or those named, and writes docs/benchmarks.md from the figures of all that were ever run.
# A benchmark fails when one of its figures misses its goal; the page is written all the same.
set -euo pipefail
cd "$(dirname "$0")/.."
measured=$(mktemp -d)
trap 'rm -rf "$measured"' EXIT
failed=()
for script in benchmarks/*.py; do
  name=$(basename "$script" .py)
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  echo "== $name"
  .venv/bin/python "$script" --json "$measured/$name.json" || failed+=("$name")
  if [ -s "$measured/$name.json" ]; then
    .venv/bin/python scripts/benchmarks_page.py keep "$name" "$measured/$name.json"
  fi
done
.venv/bin/python scripts/benchmarks_page.py write
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
