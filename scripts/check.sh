#!/usr/bin/env bash
# Everything that must hold before a change goes in, besides the tests. Runs all checks and fails if one did.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
export PATH="$PWD/.venv/bin:$PATH"
failed=()

main() {
  check "ruff" ruff check .
  check "format" ruff format --check .
  check "types" mypy --strict
  check "layers" lint-imports
  check "first level of vllm_exporter" few_modules
  check "generated rules" python -m prometheus.thresholds --check
  check "generated promises" python -m prometheus.slo --check
  check "generated boards" python -m grafana check
  check "generated pages" scripts/docs.sh --check
  check "page of benchmarks" python scripts/benchmarks_page.py check
  check "shell scripts" shell_scripts
  each promtool check_prometheus
  each amtool check_alertmanager
  lint_rules
  if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[*]}" >&2
    exit 1
  fi
  echo "all checks passed"
}

# Prints a check's output only when it failed.
check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    echo "ok      $name"
  else
    printf '%s\nFAILED  %s\n' "$output" "$name"
    failed+=("$name")
  fi
}

# Every program of that name on PATH, so that several generations are tried where they are installed.
each() {
  local tool found
  mapfile -t found < <(which -a "$1" | xargs -r -n 1 realpath | sort -u)
  if [ ${#found[@]} -eq 0 ]; then check "$1 (not on PATH: make install)" false; fi
  for tool in "${found[@]}"; do check "$1 $(tool_version "$tool")" "$2" "$tool"; done
}

tool_version() { "$1" --version 2>&1 | sed -nE '1s/.*version ([^ ]+).*/\1/p'; }

check_prometheus() { # promtool
  "$1" check config prometheus/prometheus.yml && "$1" check rules prometheus/rules/*.yml prometheus/alerts/*.yml
}

check_alertmanager() { "$1" check-config alertmanager/alertmanager.yml; } # amtool

# Beside promtool: labels that an expression has not, what can never match. Left out where pint is not installed.
lint_rules() {
  local pint
  pint=$(command -v pint || echo "${GO_TOOLS_HOME:-$HOME/.cache/go-tools}/bin/pint")
  if [ ! -x "$pint" ]; then echo "left out: pint is not installed" && return; fi
  check "pint $("$pint" version 2>&1 | cut -d ' ' -f 1)" "$pint" --config prometheus/pint.hcl --offline --no-color lint \
    --show-duplicates --fail-on warning prometheus/rules prometheus/alerts
}

# A house with more rooms has no map.
few_modules() {
  local found
  found=$(find exporter/vllm_exporter -mindepth 1 -maxdepth 1 \( -name '*.py' -o -type d ! -name __pycache__ \) | wc -l)
  [ "$found" -le 30 ] || { echo "$found modules and packages at the first level of vllm_exporter, 30 at most"; return 1; }
}

shell_scripts() {
  if ! command -v shellcheck >/dev/null; then echo "shellcheck is not installed" && return; fi
  shellcheck scripts/*.sh .ci/run
}

main
