#!/usr/bin/env bash
# What CI runs: format, lint, types, then every test. `--fast` runs the pure part only; other arguments go to pytest.
# Tests with a screen run one after another in one process, the others beside them in two more (tests/conftest.py);
# three, since a test waits for a third of its time, and the two have less of the processor;
# with a file or a folder to run, or one of pytest's -n, -s and --pdb, everything runs in one process.
set -euo pipefail

main() {
  # shellcheck source=scripts/environment.sh
  . "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
  local fast="" arguments=() side_by_side=(-n 3 --dist loadgroup --no-loadscope-reorder)
  for argument in "$@"; do
    case "$argument" in
      --fast) fast=yes ;;
      -h | --help)
        say "Usage: scripts/test.sh [--fast] [PYTEST ARGUMENTS]"
        return 0
        ;;
      *)
        arguments+=("$argument")
        case "$argument" in
          -n* | --numprocesses* | -s | --capture=no | --pdb | --trace | no:xdist) side_by_side=() ;;
          *) [ ! -e "${argument%%::*}" ] || side_by_side=() ;;
        esac
        ;;
    esac
  done
  install_packages python3 python3-venv python3-tk python3-dev gcc libc6-dev shellcheck
  if [ -z "$fast" ]; then
    install_packages xvfb xauth openbox xterm x11-apps x11-utils x11-xserver-utils chromium fonts-dejavu-core \
      xserver-xorg-core xserver-xorg-video-dummy sway swaybg xwayland procps iproute2 iputils-ping libatomic1 dbus \
      postgresql openssl libarchive-tools perl xdotool trayer xfce4-panel systemd debootstrap
  fi
  make_environment agent,relay,technician,test
  cd "$ROOT"
  unset DISPLAY WAYLAND_DISPLAY XAUTHORITY
  export DBUS_SESSION_BUS_ADDRESS= # no icon in the tray of whoever runs this
  unset PYTHONDONTWRITEBYTECODE # hundreds of our programs are started: each would compile itself anew
  shellcheck -x scripts/*.sh scripts/install/verify.sh scripts/install/linux/*.sh scripts/install/macos/*.sh .ci/run
  "$VENV/bin/ruff" format --check .
  "$VENV/bin/ruff" check .
  "$VENV/bin/mypy"
  if [ -n "$fast" ]; then
    arguments+=(-m "not real and not simulation")
  fi
  exec "$VENV/bin/python" -m pytest "${side_by_side[@]}" "${arguments[@]}"
}

main "$@"
