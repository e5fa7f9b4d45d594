#!/usr/bin/env bash
# Checks a bundle of the agent against a fingerprint of the organisation, with tar and openssl alone. Installs nothing.
# Linux and macOS: GNU's tar or bsdtar, OpenSSL or LibreSSL, bash from 3.2 on.
# The fingerprint is of the newest root that you were told: who knows only a former root's cannot see that it was replaced.
# Exit statuses: 0 it is what the organisation signed, 2 wrong use, 5 it is not, 6 a program or the file is missing.
set -euo pipefail
umask 077

TYPE="application/vnd.alongside.release+json"
STEP_TYPE="application/vnd.alongside.successor+json"
STEP_TYPE_FORM='application/vnd\.alongside\.successor\+json'
# DER of 2.25.142874882199306785095044604726865728362.2.3: LibreSSL writes no number of more than 64 bits
ROOT_OID="6981d6fcd9e3cfb48286c385d1dff4d5a6faa66a0203"
BASE64="[A-Za-z0-9+/]+={0,2}"
STEPS_LIMIT=4

refuse() {
  printf 'alongside: not what the organisation signed: %s. Do not install it. (E_RELEASE_SIGNATURE)\n' "$1" >&2
  exit 5
}

# member BUNDLE NAME LIMIT: the content goes to standard output; no name of the archive becomes a path.
member() {
  local first=--occurrence=1
  case "$(tar --version 2>/dev/null)" in
    *bsdtar*) first=--fast-read ;;
  esac
  tar --extract --to-stdout "$first" --file="$1" -- "$2" 2>/dev/null | head -c "$3"
}

# sha256: of standard input, in hex.
sha256() {
  local found
  found="$(openssl dgst -sha256 -r)"
  printf '%s' "${found%% *}"
}

# sha256_of FILE
sha256_of() { sha256 <"$1"; }

# part FILE OFFSET LENGTH: the content goes to standard output.
part() { tail -c "+$(($2 + 1))" <"$1" | head -c "$3"; }

# from_base64 TEXT: the content goes to standard output.
from_base64() {
  printf '%s' "$1" | openssl base64 -d -A || refuse "what is between its roots cannot be read"
}

# is_signed KEY SIGNATURE TYPE FILE: whether the key (PEM) signed the file under DSSE's encoding.
is_signed() {
  {
    printf 'DSSEv1 %d %s %d ' "${#3}" "$3" "$(wc -c <"$4")"
    cat "$4"
  } | openssl dgst -sha256 -verify "$1" -signature "$2" >/dev/null 2>&1
}

# read_root WORK: looks at the root in WORK/root.der; leaves its key in WORK/key.pem, and sets ROOT_FINGERPRINT and ROOT_TERMS.
read_root() {
  local work="$1" line begin="" place="" signature="" is_ours="" was_ours
  local form='^ *([0-9]+):d=([0-9]+) +hl= *([0-9]+) +l= *([0-9]+) +[a-z]+: +([A-Z0-9 ]+[A-Z0-9])'
  openssl x509 -inform DER -in "$work/root.der" -out "$work/root.pem" 2>/dev/null || refuse "a root cannot be read"
  openssl x509 -in "$work/root.pem" -outform DER -out "$work/again.der"
  cmp -s -- "$work/root.der" "$work/again.der" || refuse "there is something behind a root"
  openssl x509 -in "$work/root.pem" -noout -pubkey >"$work/key.pem"
  openssl pkey -pubin -in "$work/key.pem" -outform DER -out "$work/key.der"
  ROOT_FINGERPRINT="$(sha256_of "$work/key.der")"
  # X.509: what is signed is the first part of the whole, the signature its last; our extension has a number of its own
  openssl asn1parse -inform DER -in "$work/root.der" >"$work/parts" || refuse "a root cannot be read"
  while IFS= read -r line; do
    was_ours="$is_ours" is_ours=""
    [[ "$line" =~ $form ]] || continue
    if [ "${BASH_REMATCH[2]}" = 1 ]; then
      begin="${begin:-${BASH_REMATCH[1]}}" signature="${BASH_REMATCH[1]} ${BASH_REMATCH[5]}"
    fi
    if [ -n "$was_ours" ] && [ "${BASH_REMATCH[5]}" = "OCTET STRING" ]; then
      [ -z "$place" ] || refuse "a root says twice what it is"
      place="${BASH_REMATCH[1]}"
    fi
    if [ "${BASH_REMATCH[5]}" = OBJECT ] && [ "${BASH_REMATCH[4]}" = "$((${#ROOT_OID} / 2))" ]; then
      is_ours="$(part "$work/root.der" "$((BASH_REMATCH[1] + BASH_REMATCH[3]))" "${BASH_REMATCH[4]}" | od -An -v -tx1 | tr -d ' \n')"
      [ "$is_ours" = "$ROOT_OID" ] || is_ours=""
    fi
  done <"$work/parts"
  # its own signature holds what it says; whose key that is comes from the fingerprint or from a step
  [[ -n "$begin" && "$signature" == *" BIT STRING" ]] || refuse "a root cannot be read"
  openssl asn1parse -inform DER -in "$work/root.der" -strparse "$begin" -noout -out "$work/said" 2>/dev/null || refuse "a root cannot be read"
  openssl asn1parse -inform DER -in "$work/root.der" -strparse "${signature%% *}" -noout -out "$work/said.sig" 2>/dev/null ||
    refuse "a root cannot be read"
  openssl dgst -sha256 -verify "$work/key.pem" -signature "$work/said.sig" "$work/said" >/dev/null 2>&1 || refuse "a root did not sign itself"
  # an organisation made before recovery kits has no terms, and no other root
  ROOT_TERMS=""
  if [ -n "$place" ]; then
    ROOT_TERMS="$(openssl asn1parse -inform DER -in "$work/root.der" -strparse "$place" | sed -nE 's/^.*UTF8STRING *:(.*)$/\1/p')"
  fi
}

# take_step WORK ENVELOPE GENERATION ORGANISATION: from the root in WORK to the next one, signed by the kit that the first names.
take_step() {
  local work="$1" generation="$3" organisation="$4" payload key signature previous kit terms
  local form='^\{"payload":"('"$BASE64"')","payloadType":"'"$STEP_TYPE_FORM"'","signatures":\[\{"keyid":"recovery","sig":"('"$BASE64"')","key":"('"$BASE64"')"\}\]\}$'
  [[ "$2" =~ $form ]] || refuse "a step between its roots is no such thing"
  payload="${BASH_REMATCH[1]}" signature="${BASH_REMATCH[2]}" key="${BASH_REMATCH[3]}"
  from_base64 "$payload" >"$work/step"
  from_base64 "$signature" >"$work/step.sig"
  from_base64 "$key" >"$work/kit.der"
  kit="$(sha256_of "$work/kit.der")"
  [[ "$ROOT_TERMS" == *"\"recovery_sha256\":\"$kit\""* ]] || refuse "a step between its roots is of another recovery kit"
  openssl pkey -pubin -inform DER -in "$work/kit.der" -out "$work/kit.pem" 2>/dev/null || refuse "a recovery kit cannot be read"
  is_signed "$work/kit.pem" "$work/step.sig" "$STEP_TYPE" "$work/step" || refuse "a step's signature is wrong"
  form='^\{"format":"alongside-successor/1","previous":"('"$BASE64"')","root":"('"$BASE64"')"\}$'
  [[ "$(tr -d '\0' <"$work/step")" =~ $form ]] || refuse "a step between its roots is no such thing"
  key="${BASH_REMATCH[2]}"
  from_base64 "${BASH_REMATCH[1]}" >"$work/previous.der"
  previous="$(sha256_of "$work/root.der")"
  [ "$(sha256_of "$work/previous.der")" = "$previous" ] || refuse "a step does not start from the root before it"
  from_base64 "$key" >"$work/root.der"
  read_root "$work"
  terms='{"generation":'"$generation"',"organisation_id":"'"$organisation"'","previous_sha256":"'"$previous"'","recovery_sha256":"'
  [[ "$ROOT_TERMS" == "$terms"* ]] || refuse "a root does not follow the one before"
}

# follow_roots WORK STEPS FINGERPRINT: from the first root to the newest one, whose key is then in WORK; the fingerprint is of one of them.
follow_roots() {
  local work="$1" steps="$2" fingerprint="$3" organisation known=no generation=0 step form
  read_root "$work"
  organisation="$ROOT_FINGERPRINT"
  [[ "$ROOT_TERMS" == "" || "$ROOT_TERMS" == '{"generation":0,"organisation_id":"",'* ]] || refuse "its first root is none"
  [ "$ROOT_FINGERPRINT" != "$fingerprint" ] || known=yes
  # the form in a variable, and tr: bash 3.2 reads quotes and brackets in patterns in ways of its own
  form='^\[("'"$BASE64"'"(,"'"$BASE64"'")*)?\]$'
  [[ "$steps" =~ $form ]] || refuse "the steps between its roots cannot be read"
  for step in $(printf '%s' "$steps" | tr -d '[]"' | tr ',' ' '); do
    generation=$((generation + 1))
    [ "$generation" -le "$STEPS_LIMIT" ] || refuse "too many roots"
    take_step "$work" "$(from_base64 "$step" | tr -d '\0')" "$generation" "$organisation"
    [ "$ROOT_FINGERPRINT" != "$fingerprint" ] || known=yes
  done
  [ "$known" = yes ] || refuse "it is another organisation's, or of before the root was replaced"
  grep -qF "\"organisation_id\":\"$organisation\"" "$work/release.json" || refuse "it names another organisation"
}

# verify BUNDLE FINGERPRINT [FOLDER]: what was checked (release.json, list) stays in the folder, if one is given.
verify() {
  local bundle="${1:-}" fingerprint="${2:-}" work="${3:-}" program found name sha256 count=0
  if [ "$#" -lt 2 ] || [ "$#" -gt 3 ] || [[ ! "$fingerprint" =~ ^[0-9a-f]{64}$ ]]; then
    printf 'Usage: verify.sh BUNDLE FINGERPRINT (64 hex digits, of the newest root, see: alongside org show)\n' >&2
    exit 2
  fi
  for program in tar openssl od cmp; do
    command -v "$program" >/dev/null || { printf 'alongside: %s is missing; install it first.\n' "$program" >&2; exit 6; }
  done
  [ -f "$bundle" ] || { printf 'alongside: there is no file %q.\n' "$bundle" >&2; exit 6; }
  [[ "$bundle" == /* ]] || bundle="$PWD/$bundle"
  if [ -z "$work" ]; then
    work="$(mktemp -d)"
    # shellcheck disable=SC2064  # this very folder
    trap "rm -rf -- '$work'" EXIT
  fi
  member "$bundle" release.json 131072 >"$work/release.json" || refuse "no manifest"
  member "$bundle" release.sig 256 >"$work/release.sig" || refuse "no signature"
  member "$bundle" organisation.pem 16384 >"$work/organisation.pem" || refuse "no organisation"
  member "$bundle" successors.json 65536 >"$work/successors.json" || refuse "no line of roots"
  openssl x509 -in "$work/organisation.pem" -outform DER -out "$work/root.der" 2>/dev/null || refuse "no organisation"
  follow_roots "$work" "$(tr -d '\0' <"$work/successors.json")" "$fingerprint"
  is_signed "$work/key.pem" "$work/release.sig" "$TYPE" "$work/release.json" || refuse "the manifest's signature is wrong"
  # the list goes through a file: not every bare root has /dev/fd
  grep -oE '"name":"[A-Za-z0-9._+@-]+","sha256":"[0-9a-f]{64}"' "$work/release.json" |
    sed -E 's/"name":"([^"]+)","sha256":"([0-9a-f]+)"/\1 \2/' >"$work/list" || refuse "its list is empty"
  while IFS=' ' read -r name sha256; do
    found="$(member "$bundle" "$name" 268435456 | sha256)" || refuse "$name is missing"
    [ "$found" = "$sha256" ] || refuse "$name was changed"
    count=$((count + 1))
  done <"$work/list"
  [ "$count" -gt 0 ] || refuse "its list is empty"
  [ "$count" -eq "$(grep -o '"sha256":' "$work/release.json" | wc -l)" ] || refuse "its list is odd"
  printf 'What the organisation signed: %s files.\n' "$count"
}

# install.sh takes these functions in
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  verify "$@"
fi
