#!/usr/bin/env bash
# Programs that come from the system. Installs what is missing by apt: as root, or through sudo where that asks nothing;
# otherwise it prints the one command to type. Nothing it installs is started or left to start at boot: `make up` runs
# the programs itself, and a service of the same name would hold its ports.
#
#   system-packages.sh             installs what is missing
#   system-packages.sh PACKAGE...  installs these (root)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
policy=/usr/sbin/policy-rc.d # invoke-rc.d(8): exit code 101 forbids each start
services=(prometheus prometheus-alertmanager)

main() {
  local packages=("$@") command
  if [ $# -eq 0 ]; then mapfile -t packages < <(missing); fi
  if [ ${#packages[@]} -eq 0 ]; then return; fi
  if ! have apt-get; then
    fail "missing: ${packages[*]} (names of Debian packages), and there is no apt-get: install their programs and put them on PATH"
  fi
  if [ "$(id -u)" -eq 0 ]; then
    install_packages "${packages[@]}"
    return
  fi
  command=("$here/system-packages.sh" "${packages[@]}")
  if have sudo && sudo -n true 2>/dev/null; then exec sudo -n "${command[@]}"; fi
  fail "missing: ${packages[*]}. Type this once as a user who may, then try again:
  sudo $(printf '%q ' "${command[@]}")"
}

fail() {
  echo "$1" >&2
  exit 1
}

have() { command -v "$1" >/dev/null; }

# One Debian package a line. Programs from elsewhere count: only what is not on PATH is missing.
missing() {
  local python
  python=$("$here/find-python.sh")
  "$python" -c 'import ensurepip, venv' 2>/dev/null || venv_package "$python"
  if ! { have prometheus && have promtool; }; then echo prometheus; fi
  if ! { { have alertmanager || have prometheus-alertmanager; } && have amtool; }; then echo prometheus-alertmanager; fi
}

# python3-venv belongs to the distribution's own python3; another version has a package of its own.
venv_package() {
  if [ "$(realpath "$1")" = "$(realpath /usr/bin/python3)" ]; then
    echo python3-venv
  else
    "$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
  fi
}

install_packages() {
  local fresh=() service
  echo "apt: installing $*; no service is started"
  for service in "${services[@]}"; do installed "$service" || fresh+=("$service"); done
  forbid_starts
  trap allow_starts EXIT
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 # the second: Ubuntu would restart the user's services
  apt-get update -qq || echo "apt-get update failed; trying with the package lists that are there" >&2
  # A fresh Ubuntu holds the lock for its own updates in the first minutes.
  apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" >/dev/null
  for service in "${fresh[@]}"; do
    if installed "$service"; then keep_from_boot "$service"; fi
  done
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

forbid_starts() {
  if [ -e "$policy" ] && [ ! -e "$policy.before-vllm-monitor" ]; then mv "$policy" "$policy.before-vllm-monitor"; fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 0755 "$policy"
}

allow_starts() {
  rm -f "$policy"
  if [ -e "$policy.before-vllm-monitor" ]; then mv "$policy.before-vllm-monitor" "$policy"; fi
}

# Packages enable their services; only those that were not there before are put back.
keep_from_boot() {
  if have systemctl; then systemctl disable --quiet "$1.service" >/dev/null 2>&1 || true; fi
  if have update-rc.d; then update-rc.d "$1" disable >/dev/null 2>&1 || true; fi
}

main "$@"
