#!/usr/bin/env bash
# Installs, updates and removes the Alongside agent. Nothing of a release runs before the organisation's signature over it was checked here.
# Exit statuses: 0 done or unchanged, 1 something broke, 2 wrong use, 3 refused (not root, too old, busy), 4 the relay does not answer,
# 5 not what the organisation signed, 6 a program or room on the disk is missing, 7 installed, but the device could not join.
set -euo pipefail
umask 077
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C.UTF-8

# shellcheck source=scripts/install/verify.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../verify.sh"

PREFIX=/opt/alongside
STATE=/var/lib/alongside-agent
SYSTEM_UNIT=/etc/systemd/system/alongside-agent.service
EXEC_UNITS=(/etc/systemd/system/alongside-agent-exec.socket /etc/systemd/system/alongside-agent-exec@.service)
UPDATE_UNITS=(/etc/systemd/system/alongside-agent-update.service /etc/systemd/system/alongside-agent-update.timer)
USER_UNIT=/etc/systemd/user/alongside-agent-desktop.service
COMMAND=/usr/local/bin/alongside-agent
ACCOUNT=alongside-agent
LOCK=/run/alongside-install.lock
STAMP=.complete
PENDING="$PREFIX/.pending"
BUNDLE_LIMIT_BYTES=536870912
WORK_NAME=alongside-install
WORK=""

usage() {
  cat <<'TEXT'
Usage: install.sh --fingerprint HEX (--relay URL | --offline BUNDLE) [OPTIONS]
       install.sh --uninstall [--purge]

  --fingerprint HEX   the organisation's newest, 64 hex digits (alongside org show)
  --relay URL         where the bundle is taken from, such as https://relay.example
  --offline BUNDLE    a bundle that is here already (alongside release export)
  --token-file FILE   the join token; - for standard input. Without it a terminal is asked, and shows nothing
  --no-join           install only; later: alongside-agent join
  --at-least VERSION  refuse anything older
  --proxy URL         the proxy on the way to the relay, for this download and for the agent; without a password in it
  --proxy-file FILE   the same, read from a file: a password stands in no list of processes
  --dry-run           say what would be done, and do nothing
  --uninstall         remove the agent; its identity and history stay
  --purge             with --uninstall: leave the organisation, and remove those too
TEXT
}

say() { printf 'alongside: %s\n' "$1"; }

fail() {
  printf 'alongside: %s\n' "$2" >&2
  exit "$1"
}

# run WORDS: does it, or says it in a dry run.
run() {
  if [ -n "$DRY_RUN" ]; then
    say "would run: $*"
  else
    "$@"
  fi
}

# change: something is different from here on; a run that is cut short after this is finished by the next one.
change() {
  CHANGED=yes
  [ -z "$DRY_RUN" ] || return 0
  (umask 022 && mkdir -p -- "$PREFIX" && : >"$PENDING") || fail 6 "$PREFIX cannot be written. Is the disk full?"
}

clean_up() { [ -z "$WORK" ] || rm -rf -- "$WORK"; }

# A folder of this run alone. Its lock is free as soon as nothing of this run lives; a run that clears up may be faster than the lock.
make_work() {
  while :; do
    WORK="$(mktemp -d --tmpdir "$WORK_NAME.XXXXXXXXXX")" || fail 6 "no temporary folder can be made. Is the disk full?"
    exec 8<"$WORK" || continue
    if flock -n 8 && [ /proc/self/fd/8 -ef "$WORK" ]; then
      return 0
    fi
  done
}

# clear_leftovers: what a killed run left. Only folders with our name that are root's and closed to everybody else, and that no run holds.
clear_leftovers() {
  local each place="${TMPDIR:-/tmp}"
  # where somebody else could exchange what was looked at, nothing is removed
  [ "$(stat -L -c %u -- "$place" 2>/dev/null)" = 0 ] || return 0
  [ -k "$place" ] || [ -z "$(find -L "$place" -maxdepth 0 -perm /022)" ] || return 0
  for each in "$place/$WORK_NAME".??????????; do
    if [ "$(stat -c '%u %a %F' -- "$each" 2>/dev/null)" = "0 700 directory" ]; then
      flock -n "$each" rm -rf --one-file-system -- "$each" || true
    fi
  done
}

has_systemd() { [ -d /run/systemd/system ]; }

as_agent() { setpriv --reuid "$ACCOUNT" --regid "$ACCOUNT" --clear-groups --no-new-privs --reset-env "$@"; }

# fact NAME: a text of the checked manifest.
fact() { grep -oE "\"$1\":\"[^\"]*\"" "$WORK/release.json" | head -n 1 | sed -E 's/^"[^"]*":"(.*)"$/\1/'; }

# is_below A B: whether version A is lower than B.
is_below() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# needs_brackets ADDRESS: whether an IPv6 address stands in it outside of brackets.
needs_brackets() {
  local place="${1#*//}"
  place="${place##*@}"
  place="${place%%/*}"
  [[ "$place" != *\[* && "$place" == *:*:* ]]
}

parse() {
  FINGERPRINT="" RELAY="" BUNDLE="" TOKEN_FILE="" AT_LEAST="" PROXY="" PROXY_FILE="" DRY_RUN="" UNINSTALL="" PURGE="" NO_JOIN=""
  while [ "$#" -gt 0 ]; do
    case "$1" in
      --fingerprint | --relay | --offline | --token-file | --at-least | --proxy | --proxy-file)
        [ "$#" -ge 2 ] || fail 2 "$1 needs a value; see --help."
        case "$1" in
          --fingerprint) FINGERPRINT="$2" ;;
          --relay) RELAY="${2%/}" ;;
          --offline) BUNDLE="$2" ;;
          --token-file) TOKEN_FILE="$2" ;;
          --at-least) AT_LEAST="$2" ;;
          --proxy) PROXY="$2" ;;
          --proxy-file) PROXY_FILE="$2" ;;
        esac
        shift
        ;;
      --no-join) NO_JOIN=yes ;;
      --dry-run) DRY_RUN=yes ;;
      --uninstall) UNINSTALL=yes ;;
      --purge) PURGE=yes ;;
      -h | --help)
        usage
        exit 0
        ;;
      *) fail 2 "$1 is not known; see --help." ;;
    esac
    shift
  done
  [ -z "$UNINSTALL" ] || return 0
  [ -z "$PURGE" ] || fail 2 "--purge goes with --uninstall."
  [[ "$FINGERPRINT" =~ ^[0-9a-f]{64}$ ]] || fail 2 "--fingerprint needs 64 hex digits; an administrator sees them with: alongside org show"
  [ -z "$RELAY" ] || [ -z "$BUNDLE" ] || fail 2 "give --relay or --offline, not both."
  [ -n "$RELAY$BUNDLE" ] || fail 2 "give --relay URL or --offline BUNDLE."
  ! needs_brackets "$RELAY" || fail 2 "--relay: an IPv6 address needs brackets, as in https://[2001:db8::1]:8470"
  [[ "$RELAY" =~ ^$|^https?://([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?$ ]] || fail 2 "--relay needs an address such as https://relay.example"
  [ -z "$PROXY" ] || [ -z "$PROXY_FILE" ] || fail 2 "give --proxy or --proxy-file, not both."
  [[ "$PROXY" != *@* ]] || fail 2 "every user could read the password on the command line; use --proxy-file."
  if [ -n "$PROXY_FILE" ]; then
    [ -r "$PROXY_FILE" ] || fail 2 "the file $PROXY_FILE cannot be read."
    PROXY="$(head -c 2048 -- "$PROXY_FILE" | head -n 1)"
    [ -n "$PROXY" ] || fail 2 "the file $PROXY_FILE is empty."
  fi
  ! needs_brackets "$PROXY" || fail 2 "the proxy: an IPv6 address needs brackets, as in http://[2001:db8::1]:3128"
  [[ "$PROXY" =~ ^$|^[[:graph:]]+$ && "$PROXY" != *[\"\\]* ]] || fail 2 "the proxy needs an address such as http://proxy.example:3128"
  [[ "$AT_LEAST" =~ ^$|^[0-9]{1,6}(\.[0-9]{1,6}){2}$ ]] || fail 2 "--at-least needs a version such as 1.2.3"
}

check_programs() {
  local program missing=""
  for program in tar openssl sha256sum python3 setpriv flock useradd cmp; do
    command -v "$program" >/dev/null || missing="$missing $program"
  done
  [ -z "$RELAY" ] || command -v curl >/dev/null || missing="$missing curl"
  [ -z "$missing" ] || fail 6 "missing:$missing. On Debian: apt-get install tar openssl coreutils diffutils python3 python3-tk util-linux passwd curl"
  python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail 6 "Python 3.11 or newer is needed."
  python3 -I -c 'import venv' 2>/dev/null || fail 6 "Python's venv is missing. On Debian: apt-get install python3-venv"
  python3 -I -c 'import tkinter' 2>/dev/null || fail 6 "python3-tk is missing: without it nobody could be asked. On Debian: apt-get install python3-tk"
}

# Everything that follows reads this one copy, which only root can change.
take_bundle() {
  local machine words
  machine="$(uname -m)"
  if [ -n "$BUNDLE" ]; then
    [ -f "$BUNDLE" ] || fail 6 "there is no file $BUNDLE."
    head -c "$BUNDLE_LIMIT_BYTES" -- "$BUNDLE" >"$WORK/bundle" || fail 6 "$BUNDLE cannot be copied. Is the disk full?"
    return
  fi
  say "Taking the bundle from $RELAY"
  words=(--fail --silent --show-error --location --max-redirs 3 --proto '=http,https' --max-filesize "$BUNDLE_LIMIT_BYTES"
    --connect-timeout 20 --speed-limit 1024 --speed-time 60 --retry 3 --output "$WORK/bundle")
  if [ -n "$PROXY" ]; then
    printf 'proxy = "%s"\n' "$PROXY" >"$WORK/curl"
    words+=(--config "$WORK/curl")
  fi
  curl "${words[@]}" "$RELAY/release/agent-linux-$machine.bundle" ||
    fail 4 "the relay hands out no bundle for $machine. Check the address, the proxy and the disk; then run this again."
}

check_version() {
  local now installed sha256
  VERSION="$(fact version)"
  [[ "$VERSION" =~ ^[0-9]{1,6}(\.[0-9]{1,6}){2}$ ]] || fail 5 "the release has no version. (E_RELEASE_FORMAT)"
  [ "$(fact platform) $(fact machine)" = "linux $(uname -m)" ] || fail 5 "the release is for another kind of computer. (E_RELEASE_PLATFORM)"
  now="$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  [[ "$(fact expires_at_utc)" > "$now" ]] || fail 3 "the release has expired. Take a newer one, or set this computer's clock. (E_RELEASE_EXPIRED)"
  if [ -n "$AT_LEAST" ] && is_below "$VERSION" "$AT_LEAST"; then
    fail 3 "version $VERSION is older than $AT_LEAST. Whoever handed it out may want an old fault back. (E_RELEASE_VERSION)"
  fi
  if [ -L "$PREFIX/current" ]; then
    installed="$(basename -- "$(readlink -- "$PREFIX/current")")"
    if is_below "$VERSION" "${installed%-*}"; then
      fail 3 "version ${installed%-*} is installed, and $VERSION is older. Uninstall first if you mean it. (E_RELEASE_VERSION)"
    fi
  fi
  sha256="$(sha256_of "$WORK/release.json")"
  NAME="$VERSION-${sha256:0:12}"
  HERE="$PREFIX/versions/$NAME"
}

# A version is whole when its stamp is there; what has none is taken away and made again.
stage() {
  local wheels="$WORK/wheels" pip="" name sha256
  [ ! -f "$HERE/$STAMP" ] || return 0
  change
  if [ -n "$DRY_RUN" ]; then
    say "would install version $VERSION in $HERE"
    return
  fi
  say "Installing version $VERSION"
  (umask 022 && mkdir -p -- "$PREFIX/versions")
  rm -rf -- "$HERE"
  (umask 022 && python3 -I -m venv --without-pip -- "$HERE") || fail 6 "no Python environment can be made in $HERE. Is the disk full?"
  mkdir -- "$wheels"
  while IFS=' ' read -r name sha256; do
    [[ "$name" == *.whl ]] || continue
    member "$WORK/bundle" "$name" 268435456 >"$wheels/$name" || fail 6 "$name cannot be unpacked. Is the disk full?"
    [ "$(sha256_of "$wheels/$name")" = "$sha256" ] || fail 6 "$name cannot be unpacked. Is the disk full?"
    if [[ "$name" == pip-* ]]; then
      pip="$wheels/$name"
    else
      printf '%s --hash=sha256:%s\n' "$wheels/$name" "$sha256" >>"$WORK/requirements.txt"
    fi
  done <"$WORK/list"
  [ -n "$pip" ] || refuse "it has no installer"
  (umask 022 && cd / && "$HERE/bin/python" -I "$pip/pip" --isolated --quiet --disable-pip-version-check --no-input install --no-index --no-deps \
    --no-cache-dir --require-hashes --requirement "$WORK/requirements.txt") || fail 6 "the release cannot be unpacked into $HERE. Is the disk full?"
  # the updater puts these back when it goes back to this version
  (umask 022 && mkdir -- "$HERE/units")
  while IFS=' ' read -r name sha256; do
    if [[ "$name" == alongside-agent*.service || "$name" == alongside-agent*.timer || "$name" == alongside-agent*.socket ]]; then
      (umask 022 && member "$WORK/bundle" "$name" 262144 >"$HERE/units/$name") || fail 6 "$name cannot be unpacked. Is the disk full?"
    fi
  done <"$WORK/list"
  sync -f -- "$HERE"
  : >"$HERE/$STAMP"
  sync -f -- "$HERE"
}

# What updates are believed by: the fingerprint that was given, and the first root of their list, out of the checked bundle.
updates() {
  local name
  grep -qF "update-root.json " "$WORK/list" || return 0
  member "$WORK/bundle" update-root.json 65536 >"$WORK/root.json"
  printf '{"fingerprint":"%s","relay":"%s"}\n' "$FINGERPRINT" "$RELAY" >"$WORK/settings.json"
  for name in root.json settings.json; do
    if ! cmp -s -- "$WORK/$name" "$PREFIX/update/$name"; then
      CHANGED=yes
      run install -D -m 0644 -- "$WORK/$name" "$PREFIX/update/$name"
    fi
  done
}

make_account() {
  if ! id -u "$ACCOUNT" >/dev/null 2>&1; then
    change
    run useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$ACCOUNT"
  fi
  [ -n "$DRY_RUN" ] || install -d -m 0700 -o "$ACCOUNT" -g "$ACCOUNT" -- "$STATE"
}

# unit FILE: a unit of the release, unless it is there as it should be.
unit() {
  local name="${1##*/}"
  grep -qF "$name " "$WORK/list" || return 0
  member "$WORK/bundle" "$name" 262144 >"$WORK/$name"
  if cmp -s -- "$WORK/$name" "$1"; then
    return
  fi
  change
  run install -D -m 0644 -- "$WORK/$name" "$1.new"
  run mv -T -- "$1.new" "$1"
}

# link TARGET PLACE: in one step, so that whoever looks finds the old target or the new one.
link() {
  [ "$(readlink -- "$2" || true)" != "$1" ] || return 0
  change
  [ "$2" != "$PREFIX/current" ] || SWITCHED=yes
  run mkdir -p -- "${2%/*}"
  run ln -sfnT -- "$1" "$2.new"
  run mv -T -- "$2.new" "$2"
}

# The version before stays, to go back to; older ones and halves go.
drop_old() {
  local each kept
  [ -z "$DRY_RUN" ] || return 0
  kept="$(find "$PREFIX/versions" -mindepth 2 -maxdepth 2 -name "$STAMP" -printf '%T@ %h\n' | sort -rn | head -n 2 | cut -d' ' -f2-)"
  for each in "$PREFIX/versions"/*; do
    [ "$each" = "$HERE" ] || [ "$each" = "$PREFIX/$(readlink -- "$PREFIX/updater")" ] || grep -qxF -- "$each" <<<"$kept" || rm -rf -- "$each"
  done
}

# The agent's own way to the relay, in a file that the agent alone reads.
keep_proxy() {
  [ -n "$PROXY" ] || return 0
  [ "$(as_agent cat -- "$STATE/relay-proxy" 2>/dev/null || true)" != "$PROXY" ] || return 0
  if [ -n "$DRY_RUN" ]; then
    say "would keep the proxy's address for the agent"
    return
  fi
  change
  SWITCHED=yes
  if ! printf '%s\n' "$PROXY" | as_agent tee -- "$STATE/relay-proxy.new" >/dev/null ||
    ! as_agent mv -T -- "$STATE/relay-proxy.new" "$STATE/relay-proxy"; then
    fail 6 "$STATE cannot be written. Is the disk full?"
  fi
}

join() {
  local token
  [ -z "$NO_JOIN" ] && [ ! -e "$STATE/identity.pem" ] || return 0
  if [ -n "$DRY_RUN" ]; then
    say "would join the organisation"
    return
  fi
  if [ "$TOKEN_FILE" = - ]; then
    token="$(head -c 16384)"
  elif [ -n "$TOKEN_FILE" ]; then
    [ -r "$TOKEN_FILE" ] || fail 7 "version $VERSION is installed, but the token file $TOKEN_FILE cannot be read."
    token="$(head -c 16384 -- "$TOKEN_FILE")"
  elif [ -t 0 ]; then
    printf 'Join token (nothing is shown while you paste it): ' >&2
    IFS= read -rs token
    printf '\n' >&2
  else
    say "Not joined: nobody can be asked for a token here. Run this again with --token-file FILE."
    return
  fi
  change
  # on standard input: nobody can read it in a list of processes
  printf '%s' "$token" | as_agent "$PREFIX/current/bin/alongside-agent" join --data "$STATE" - ||
    fail 7 "version $VERSION is installed, but this device could not join. Run this again with a token that works."
}

start() {
  if ! has_systemd; then
    say "systemd does not run here, so nothing was started. By hand: alongside-agent run --data $STATE"
    return
  fi
  run systemctl daemon-reload
  run systemctl --quiet enable alongside-agent.service
  run systemctl --quiet --global enable alongside-agent-desktop.service
  [ ! -e "${UPDATE_UNITS[1]}" ] || run systemctl --quiet enable --now alongside-agent-update.timer
  if [ -n "$SWITCHED" ]; then
    run systemctl restart alongside-agent.service
  else
    run systemctl start alongside-agent.service
  fi
}

uninstall() {
  local each found="" files=("$COMMAND" "$SYSTEM_UNIT" "$USER_UNIT" "${EXEC_UNITS[@]}" "${UPDATE_UNITS[@]}")
  # .new: what a killed run left
  files+=("${files[@]/%/.new}")
  for each in "$PREFIX" "${files[@]}" ${PURGE:+"$STATE"}; do
    [ ! -e "$each" ] && [ ! -L "$each" ] || found=yes
  done
  if [ -n "$PURGE" ] && id -u "$ACCOUNT" >/dev/null 2>&1; then
    found=yes
  fi
  if [ -z "$found" ]; then
    say "unchanged: it is not installed."
    return
  fi
  if has_systemd; then
    run systemctl --quiet disable --now alongside-agent-update.timer || true
    run systemctl --quiet disable --now alongside-agent.service || true
    run systemctl --quiet --global disable alongside-agent-desktop.service || true
  fi
  if [ -n "$PURGE" ] && [ -e "$STATE/identity.pem" ] && [ -x "$PREFIX/current/bin/alongside-agent" ]; then
    run as_agent "$PREFIX/current/bin/alongside-agent" leave --data "$STATE" >/dev/null || true
  fi
  run rm -f -- "${files[@]}"
  run rm -rf -- "$PREFIX"
  if has_systemd; then
    run systemctl daemon-reload
  fi
  if [ -z "$PURGE" ]; then
    say "Removed. Identity and history stay in $STATE; --uninstall --purge removes them too."
    return
  fi
  run rm -rf -- "$STATE"
  ! id -u "$ACCOUNT" >/dev/null 2>&1 || run userdel "$ACCOUNT"
  say "Removed, with identity and history."
}

main() {
  local each
  CHANGED="" SWITCHED=""
  parse "$@"
  if [ -z "$DRY_RUN" ]; then
    [ "$(id -u)" = 0 ] || fail 3 "this needs root. Run it with sudo."
    exec 9>"$LOCK"
    flock -n 9 || fail 3 "another installation is running. Wait for it, then run this again."
    clear_leftovers
  fi
  if [ -n "$UNINSTALL" ]; then
    uninstall
    return
  fi
  check_programs
  trap clean_up EXIT
  make_work
  take_bundle
  (verify "$WORK/bundle" "$FINGERPRINT" "$WORK") || exit "$?"
  check_version
  # the run before was cut short: perhaps after the switch and before the start
  [ ! -e "$PENDING" ] || CHANGED=yes SWITCHED=yes
  stage
  updates
  make_account
  for each in "${EXEC_UNITS[@]}" "$SYSTEM_UNIT" "$USER_UNIT" "${UPDATE_UNITS[@]}"; do
    unit "$each"
  done
  link "versions/$NAME" "$PREFIX/current"
  link "versions/$NAME" "$PREFIX/updater"
  link "$PREFIX/current/bin/alongside-agent" "$COMMAND"
  keep_proxy
  join
  if [ -z "$CHANGED" ]; then
    say "unchanged: version $VERSION is installed."
    return
  fi
  start
  drop_old
  run rm -f -- "$PENDING"
  [ -n "$DRY_RUN" ] || say "Version $VERSION is installed."
}

main "$@"
