#!/usr/bin/env bash
# Runs each benchmark, or those named, and writes docs/benchmarks.md from the figures of all that have run here.
# A benchmark fails when one of its figures misses its goal; the page is written all the same.
set -euo pipefail
cd "$(dirname "$0")/.."
results=.run/bench
mkdir -p "$results"
failed=()
for script in benchmarks/*.py; do
  name=$(basename "$script" .py)
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  echo "== $name"
  .venv/bin/python "$script" --json "$results/$name.json" || failed+=("$name")
done
.venv/bin/python scripts/benchmarks_page.py "$results"/*.json >docs/benchmarks.md.new
mv docs/benchmarks.md.new docs/benchmarks.md
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
