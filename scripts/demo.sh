#!/usr/bin/env bash
# up, break, story, down, record: the demo on this host; in one container where Docker answers and this host would first
# have to install Python or Prometheus. DOCKER=1 and NATIVE=1 choose. What runs already goes on where it runs.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
  local command=$1
  if contained; then
    in_container "$@"
  elif [ "$command" = up ] && [ -z "${NATIVE:-}" ] && { [ -n "${DOCKER:-}" ] || lacks_programs; } && have_engine; then
    compose up -d --build --wait || { compose logs --no-log-prefix demo; compose down; exit 1; } >&2
    compose logs --no-log-prefix demo
  else
    if [ "$command" = up ]; then set -- up --port "${DEMO_PORT:-}"; fi
    scripts/install.sh
    exec .venv/bin/python -m deploy.demo "$@"
  fi
}

in_container() {
  case $1 in
    up) compose logs --no-log-prefix demo ;;
    down) compose down ;;
    record) echo "the recording is made from a demo on this host: make demo-down, then make demo NATIVE=1" >&2; exit 1 ;;
    *) compose exec "${terminal[@]}" demo python -m deploy.demo "$@" --run /demo ;;
  esac
}

compose() { docker compose -f deploy/demo/compose.yml "$@"; }

contained() { have_engine && [ -n "$(compose ps -q demo)" ]; }

have_engine() { docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; }

# Whoever has a .venv has installed the rest before it.
lacks_programs() {
  [ ! -x .venv/bin/python ] && ! { scripts/find-python.sh && command -v prometheus && command -v amtool; } >/dev/null 2>&1
}

terminal=()
if [ ! -t 0 ] || [ ! -t 1 ]; then terminal=(-T); fi

main "$@"
