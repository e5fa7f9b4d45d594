#!/usr/bin/env bash
# Installs what is needed, then starts a relay, an organisation, this computer's agent and the console.
# Run it again at any time: it goes on where it was. See scripts/quickstart.sh --help.
set -euo pipefail
umask 077

main() {
  # shellcheck source=scripts/environment.sh
  . "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
  local argument packages=(python3 python3-venv python3-tk fonts-dejavu-core procps iproute2 iputils-ping)
  packages+=(python3-dev gcc libc6-dev)
  for argument in "$@"; do
    case "$argument" in
      -h | --help)
        cat <<'HELP'
Usage: scripts/quickstart.sh [--demo-allow] [--no-browser] [--data DIR] [--json]
       scripts/quickstart.sh --stop [--data DIR] [--json]

Starts on this computer: a relay on 127.0.0.1, an organisation with you as its technician, the agent,
and the console. Without a screen (no DISPLAY) it starts a virtual one with a small demo desktop.

  --demo-allow   on the demo desktop only: a demo person clicks Allow in each prompt
  --no-browser   print the console's address instead of opening a browser
  --data DIR     keep everything in DIR (default: the user's data directory)
  --json         one line of JSON at the end: relay_url, console_url, device_id, data, pids
  --stop         end everything that it started

Exit status: 0 done, 2 usage, 6 something on this machine is missing.
HELP
        return 0
        ;;
    esac
  done
  if [ -z "${DISPLAY:-}" ]; then
    packages+=(xvfb xauth openbox xterm x11-apps x11-utils x11-xserver-utils)
  fi
  case " $* " in
    *" --stop "*) [ -x "$VENV/bin/python" ] || { say "Nothing was started yet."; return 0; } ;;
    *)
      install_packages "${packages[@]}"
      make_environment agent,relay,technician
      ;;
  esac
  exec "$VENV/bin/python" -I "$ROOT/scripts/quickstart.py" "$@"
}

main "$@"
