#!/usr/bin/env bash
# Commands on what runs: they install nothing, since nothing runs that was not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -x .venv/bin/python ]; then
  echo "nothing is installed here yet: make up" >&2
  exit 1
fi
exec .venv/bin/python -m deploy.native "$@"
