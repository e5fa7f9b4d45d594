#!/usr/bin/env bash
# Checks a bundle of the agent against the organisation's fingerprint, with tar, openssl and sha256sum alone. Installs nothing.
# Exit statuses: 0 it is what the organisation signed, 2 wrong use, 5 it is not, 6 a program or the file is missing.
set -euo pipefail
umask 077

TYPE="application/vnd.alongside.release+json"

refuse() {
  printf 'alongside: not what the organisation signed: %s. Do not install it. (E_RELEASE_SIGNATURE)\n' "$1" >&2
  exit 5
}

# member BUNDLE NAME LIMIT: the content goes to standard output; no name of the archive becomes a path.
member() {
  tar --extract --to-stdout --occurrence=1 --file="$1" -- "$2" 2>/dev/null | head -c "$3"
}

main() {
  local bundle="${1:-}" fingerprint="${2:-}" program work found name sha256 count=0
  if [ "$#" != 2 ] || [[ ! "$fingerprint" =~ ^[0-9a-f]{64}$ ]]; then
    printf 'Usage: verify.sh BUNDLE FINGERPRINT (64 hex digits, see: alongside org show)\n' >&2
    exit 2
  fi
  for program in tar openssl sha256sum; do
    command -v "$program" >/dev/null || { printf 'alongside: %s is missing; install it first.\n' "$program" >&2; exit 6; }
  done
  [ -f "$bundle" ] || { printf 'alongside: there is no file %q.\n' "$bundle" >&2; exit 6; }
  bundle="$(readlink -f -- "$bundle")"
  work="$(mktemp -d)"
  # shellcheck disable=SC2064  # this very folder
  trap "rm -rf -- '$work'" EXIT
  member "$bundle" release.json 131072 >"$work/release.json" || refuse "no manifest"
  member "$bundle" release.sig 256 >"$work/release.sig" || refuse "no signature"
  member "$bundle" organisation.pem 16384 >"$work/organisation.pem" || refuse "no organisation"
  openssl x509 -in "$work/organisation.pem" -noout -pubkey >"$work/key.pem" 2>/dev/null || refuse "no organisation"
  found="$(openssl pkey -pubin -in "$work/key.pem" -outform DER | sha256sum)"
  [ "${found%% *}" = "$fingerprint" ] || refuse "it is another organisation's"
  {
    printf 'DSSEv1 %d %s %d ' "${#TYPE}" "$TYPE" "$(wc -c <"$work/release.json")"
    cat "$work/release.json"
  } | openssl dgst -sha256 -verify "$work/key.pem" -signature "$work/release.sig" >/dev/null 2>&1 ||
    refuse "the manifest's signature is wrong"
  # the list goes through a file: not every bare root has /dev/fd
  grep -oE '"name":"[A-Za-z0-9._+-]+","sha256":"[0-9a-f]{64}"' "$work/release.json" |
    sed -E 's/"name":"([^"]+)","sha256":"([0-9a-f]+)"/\1 \2/' >"$work/list" || refuse "its list is empty"
  while IFS=' ' read -r name sha256; do
    found="$(member "$bundle" "$name" 268435456 | sha256sum)" || refuse "$name is missing"
    [ "${found%% *}" = "$sha256" ] || refuse "$name was changed"
    count=$((count + 1))
  done <"$work/list"
  [ "$count" -gt 0 ] || refuse "its list is empty"
  [ "$count" = "$(grep -o '"sha256":' "$work/release.json" | wc -l)" ] || refuse "its list is odd"
  printf 'What the organisation signed: %s files.\n' "$count"
}

main "$@"
