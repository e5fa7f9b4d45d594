# Sourced by the scripts beside it: Debian packages and the Python environment inside the checkout.
# shellcheck shell=bash

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck disable=SC2034  # read by the scripts that source this file
VENV="$ROOT/.venv"

say() { printf '%s\n' "$*" >&2; }

die() {
  say "alongside: $1"
  exit "${2:-6}"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    die "installing packages needs root. Run this as root or install sudo. (E_CONFIG)"
  fi
}

# install_packages NAME...: says which Debian packages are missing, then installs them.
install_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
  done
  [ "${#missing[@]}" = 0 ] && return 0
  command -v apt-get >/dev/null 2>&1 ||
    die "these packages are missing and there is no apt-get here; install them by hand: ${missing[*]} (E_CONFIG)"
  say "Installing from Debian: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  local log
  log="$(mktemp)"
  if ! as_root apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    as_root apt-get update >"$log" 2>&1 || { cat "$log" >&2; die "apt-get update failed; see above. (E_CONFIG)"; }
    as_root apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
      { tail -n 20 "$log" >&2; die "installing packages failed; see above. (E_CONFIG)"; }
  fi
  rm -f "$log"
}

# find_python: the first interpreter of Python 3.11 or later that has Tk and venv.
find_python() {
  local candidate
  for candidate in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, tkinter, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  die "Python 3.11 or later with Tk and venv is needed (Debian: python3 python3-venv python3-tk). (E_CONFIG)"
}

# make_environment EXTRAS: a virtual environment inside the checkout with our package and what it needs.
make_environment() {
  local extras="$1" stamp python
  python="$(find_python)"
  stamp="$("$python" -c 'import hashlib, sys; print(hashlib.sha256(b"".join(open(f, "rb").read() for f in sys.argv[1:])).hexdigest())' "$ROOT/pyproject.toml" "$ROOT"/agent/capabilities/screen/native/*.[ch]) $("$python" -V) $ROOT"
  if [ -x "$VENV/bin/python" ] && grep -qxF "$extras $stamp" "$VENV/alongside-stamp" 2>/dev/null; then
    return 0
  fi
  say "Installing Python packages into .venv (about half a minute)"
  [ -x "$VENV/bin/python" ] || "$python" -m venv "$VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable "${ROOT}[$extras]" >&2 ||
    die "installing Python packages failed; see above. (E_CONFIG)"
  printf '%s\n' "$extras $stamp" >>"$VENV/alongside-stamp"
}
