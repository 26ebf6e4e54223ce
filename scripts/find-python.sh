#!/usr/bin/env bash
# Prints the Python to use: $PYTHON, else the first that is new enough.
set -euo pipefail
names="python3 python3.14 python3.13 python3.12 python3.11"
for candidate in ${PYTHON:-$names}; do
  path=$(command -v "$candidate") || continue
  if "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$path"
    exit 0
  fi
done
echo "no Python 3.11 or newer on PATH (tried ${PYTHON:-$names}): install one, or say PYTHON=/path/to/it" >&2
exit 1
