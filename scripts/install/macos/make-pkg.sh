#!/bin/bash
# Makes an installer package for Macs from an exported release (alongside release export DIR): it carries the bundle and the install
# script, and runs that with --offline, so the bundle's signature is checked on each Mac as well. It holds no token: joining is
#   sudo /opt/alongside/bin/alongside-agent join --data /var/db/alongside-agent -     (the token on standard input)
# Needs pkgbuild and productbuild (macOS). Sign it (--sign) and have Apple notarise it (xcrun notarytool), or Macs refuse to open it.
# Exit statuses: 0 made, 2 wrong use, 5 not what the organisation signed, 6 a program or a file is missing.
set -euo pipefail
umask 077
export LC_ALL=C

# shellcheck source=scripts/install/verify.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../verify.sh"

IDENTIFIER=alongside-agent
WORK=""

usage() {
  cat <<'TEXT'
Usage: make-pkg.sh --fingerprint HEX --from DIR --out FILE.pkg [--sign IDENTITY]

  --fingerprint HEX  the organisation's newest, 64 hex digits (alongside org show)
  --from DIR         what alongside release export wrote: install-macos.sh and one bundle for macOS
  --out FILE.pkg     the package
  --sign IDENTITY    a "Developer ID Installer" in the keychain
TEXT
}

fail() {
  printf 'alongside: %s\n' "$2" >&2
  exit "$1"
}

clean_up() { [ -z "$WORK" ] || rm -rf -- "$WORK"; }

parse() {
  FINGERPRINT="" FROM="" OUT="" IDENTITY=""
  while [ "$#" -gt 0 ]; do
    case "$1" in
      --fingerprint | --from | --out | --sign)
        [ "$#" -ge 2 ] || fail 2 "$1 needs a value; see --help."
        case "$1" in
          --fingerprint) FINGERPRINT="$2" ;;
          --from) FROM="$2" ;;
          --out) OUT="$2" ;;
          --sign) IDENTITY="$2" ;;
        esac
        shift
        ;;
      -h | --help)
        usage
        exit 0
        ;;
      *) fail 2 "$1 is not known; see --help." ;;
    esac
    shift
  done
  [[ "$FINGERPRINT" =~ ^[0-9a-f]{64}$ ]] || fail 2 "--fingerprint needs 64 hex digits; see --help."
  [[ -n "$FROM" && "$OUT" == *.pkg ]] || fail 2 "--from DIR and --out FILE.pkg are needed; see --help."
}

# lay_out: the scripts of the package, which has no files of its own to install.
lay_out() {
  local bundles=("$FROM"/agent-macos-*.bundle)
  if [ "${#bundles[@]}" != 1 ] || [ ! -f "${bundles[0]}" ] || [ ! -f "$FROM/install-macos.sh" ]; then
    fail 6 "$FROM needs install-macos.sh and one agent-macos-*.bundle."
  fi
  mkdir -- "$WORK/scripts" "$WORK/checked"
  (verify "${bundles[0]}" "$FINGERPRINT" "$WORK/checked") || exit "$?"
  [[ "$(grep -oE '"platform":"[a-z]+"' "$WORK/checked/release.json")" == '"platform":"macos"' ]] || fail 5 "the release is for another kind of computer. (E_RELEASE_PLATFORM)"
  VERSION="$(grep -oE '"version":"[0-9.]+"' "$WORK/checked/release.json" | head -n 1 | grep -oE '[0-9.]+')"
  cp -- "$FROM/install-macos.sh" "$WORK/scripts/install.sh"
  cp -- "${bundles[0]}" "$WORK/scripts/agent.bundle"
  cat >"$WORK/scripts/postinstall" <<TEXT
#!/bin/bash
# \$3 is the volume; the agent is of the system that runs
set -euo pipefail
[ "\$3" = / ] || exit 1
here="\$(cd "\$(dirname "\$0")" && pwd)"
exec /bin/bash "\$here/install.sh" --fingerprint $FINGERPRINT --offline "\$here/agent.bundle" --no-join
TEXT
  chmod 755 "$WORK/scripts/postinstall" "$WORK/scripts/install.sh"
}

main() {
  local program
  parse "$@"
  for program in pkgbuild productbuild; do
    command -v "$program" >/dev/null || fail 6 "$program is missing: packages are made on a Mac."
  done
  trap clean_up EXIT
  WORK="$(mktemp -d "${TMPDIR:-/tmp}/alongside-pkg.XXXXXXXXXX")"
  lay_out
  pkgbuild --nopayload --scripts "$WORK/scripts" --identifier "$IDENTIFIER" --version "$VERSION" "$WORK/agent.pkg" >&2
  if [ -n "$IDENTITY" ]; then
    productbuild --package "$WORK/agent.pkg" --sign "$IDENTITY" "$OUT" >&2
  else
    productbuild --package "$WORK/agent.pkg" "$OUT" >&2
  fi
  printf 'alongside: version %s is in %s\n' "$VERSION" "$OUT"
}

main "$@"
