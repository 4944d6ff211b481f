# Sourced by ./test and ./demo from the top directory: makes .venv/ and installs Debian packages, each only when needed.
#
#   prepare_environment          .venv/ as requirements.lock says, and .venv/bin/healthd; 0 if it is ready
#   install_packages NAME...     Debian packages, as root; 0 if all are there
#
# Both say in one sentence what is missing and how to get it when they cannot.

say() { printf '%s\n' "$*" >&2; }

# --- Python -----------------------------------------------------------------------------------------------------

# An interpreter that is new enough, not too new, and (with an argument) has these modules.
usable_python() {
  command -v "$1" >/dev/null && "$1" - "${@:2}" 2>/dev/null <<'PYTHON'
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON
}

find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if usable_python "$candidate" "$@"; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

# What the environment was made from, and where: moved or copied, it must be made again.
stamp() { { pwd; cat requirements.lock pyproject.toml; } | sha256sum | cut -d' ' -f1; }

prepare_environment() {
  if [ -x .venv/bin/python ] && [ "$(cat .venv/healthd-stamp 2>/dev/null)" = "$(stamp)" ] &&
    usable_python .venv/bin/python; then
    return 0
  fi
  say "Setting up .venv/ (once) ..."
  make_venv || return 1
  stamp > .venv/healthd-stamp
}

make_venv() {
  local python
  if ! python=$(find_python venv ensurepip); then
    # Debian and Ubuntu keep venv and pip apart from python3
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      install_packages python3 python3-venv || return 1
    fi
    python=$(find_python venv ensurepip) || python=
  fi
  if [ -n "$python" ]; then
    usable_python .venv/bin/python pip || "$python" -m venv --clear .venv || return 1
    install_all .venv/bin/python -m pip --disable-pip-version-check
  elif command -v uv >/dev/null; then
    usable_python .venv/bin/python || uv venv --quiet --clear --python '>=3.11,<3.14' .venv || return 1
    VIRTUAL_ENV=$PWD/.venv install_all uv pip
  else
    say "Python 3.11, 3.12 or 3.13 with venv is needed: as root, run 'apt-get install python3-venv' (or install uv)."
    return 1
  fi
}

# The libraries by their hashes, then healthd itself as it lies here; INSTALLER is pip's command line.
install_all() { # INSTALLER...
  "$@" install --quiet --require-hashes -r requirements.lock &&
    "$@" install --quiet --no-deps --no-index --no-build-isolation -e .
}

# --- Debian packages --------------------------------------------------------------------------------------------

missing_packages() {
  local name
  for name in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || printf '%s ' "$name"
  done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "This is no Debian or Ubuntu: install the counterparts of $*"
    return 1
  fi
  local missing
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    say "Missing packages: as root, run 'apt-get install --no-install-recommends $missing'"
    return 1
  fi
  say "Installing Debian packages: $missing"
  # shellcheck disable=SC2086
  (without_starting_services apt_install $missing) || return 1
  # shellcheck disable=SC2086
  keep_services_off $missing
}

# The lists of packages may be missing or old: fetch them only if the first try fails.
apt_install() {
  local log status=0
  log=$(mktemp)
  if ! apt_quietly "$@" >"$log" 2>&1; then
    { apt-get update && apt_quietly "$@"; } >"$log" 2>&1 || status=1
  fi
  [ "$status" = 0 ] || tail -n 20 "$log" >&2
  rm -f "$log"
  return "$status"
}

apt_quietly() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# Packages of servers start them when installed, unless this file says no (exit 101). An own one of the machine stays.
# Runs in a subshell, whose end takes the file away again.
without_starting_services() {
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
  fi
  "$@"
}

# Nor shall they start at the next boot: they are here to be started by tests.
keep_services_off() {
  [ -d /run/systemd/system ] || return 0
  local name unit
  for name in "$@"; do
    for unit in $(dpkg-query -L "$name" | sed -n 's|.*/systemd/system/\([^/@]*\.service\)$|\1|p'); do
      systemctl disable --quiet "$unit" 2>/dev/null || true
    done
  done
}
