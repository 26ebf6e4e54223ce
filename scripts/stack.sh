#!/usr/bin/env bash
# up, down, status, logs, query, test-message: in containers where Docker answers, else natively. NATIVE=1 chooses
# natively; what runs already goes on where it runs. PARTS: only these containers. PART, FOLLOW, WIPE: see the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
  case $1 in
    up) up ;;
    down) down ;;
    status) if contained; then compose status; else scripts/native.sh status; fi ;;
    logs) logs ;;
    query) query ;;
    test-message) if contained; then compose test-message; else scripts/native.sh test-message; fi ;;
  esac
}

up() {
  if [ -n "${NATIVE:-}" ] && contained; then
    echo "the parts run in containers already: make down first" >&2
    exit 1
  fi
  if [ -z "${NATIVE:-}" ] && ! runs_natively && have_engine; then
    # shellcheck disable=SC2086 # several words
    compose up ${PARTS:-}
  else
    scripts/install.sh
    .venv/bin/python -m deploy.native up
  fi
}

down() {
  if have_engine; then compose down ${WIPE:+--wipe}; fi
  if [ -x .venv/bin/python ] && [ -d .run ]; then scripts/native.sh down; fi
  if [ -n "${WIPE:-}" ] && [ -d .run ]; then
    printf 'deleting for good:\n  %s\n' "$PWD/.run"
    rm -rf .run
  fi
}

logs() {
  if contained; then
    compose logs ${PART:+"$PART"} ${FOLLOW:+--follow}
  else
    scripts/native.sh logs ${PART:+"$PART"} ${FOLLOW:+--follow}
  fi
}

query() {
  if [ -z "${Q:-}" ]; then
    echo "make query Q='up == 0'" >&2
    exit 1
  fi
  if contained; then compose query "$Q"; else scripts/native.sh query "$Q"; fi
}

# Needs no packages and no new Python: the host has Docker, and need have little else.
compose() { python3 -m deploy.compose "$@"; }

contained() { have_engine && compose exists; }

have_engine() { docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; }

# The pid in the file may be another program's by now: supervisord names its configuration on its command line.
runs_natively() {
  local pid
  pid=$(cat .run/supervisord.pid 2>/dev/null) || return 1
  [ -n "$pid" ] && tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$(pwd -P)/.run/supervisord.conf"
}

main "$@"
