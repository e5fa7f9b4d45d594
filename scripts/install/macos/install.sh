#!/bin/bash
# Installs, updates and removes the Alongside agent on macOS. Nothing of a release runs before the organisation's signature over it was checked here.
# Exit statuses: 0 done or unchanged, 1 something broke, 2 wrong use, 3 refused (not root, too old, busy), 4 the relay does not answer,
# 5 not what the organisation signed, 6 a program or room on the disk is missing, 7 installed, but the device could not join.
# macOS has no Python of its own, and this brings none: it takes the one of python.org, 3.11 or newer, which only root can change.
set -euo pipefail
umask 077
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C

# shellcheck source=scripts/install/verify.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../verify.sh"

PREFIX=/opt/alongside
STATE=/var/db/alongside-agent
# where the people's desktop processes connect; /var/run is emptied at each start, and the agent may not make a folder there
RUN=/var/db/alongside-agent-run
DAEMON=/Library/LaunchDaemons/alongside-agent.plist
DESKTOP=/Library/LaunchAgents/alongside-agent-desktop.plist
# /usr/local/bin is the user's own on many Macs
COMMAND="$PREFIX/bin/alongside-agent"
PATHS=/etc/paths.d/alongside-agent
ACCOUNT=_alongside
PYTHONS=/Library/Frameworks/Python.framework/Versions
LOCK=/var/run/alongside-install.lock
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

# A folder of this run alone; root's own folder is closed to everybody else, so what a killed run left there is ours.
make_work() {
  local place="${TMPDIR:-/tmp}"
  if [ -z "$DRY_RUN" ]; then
    place=/var/root
    rm -rf -- "$place/$WORK_NAME".??????????
  fi
  WORK="$(mktemp -d "$place/$WORK_NAME.XXXXXXXXXX")" || fail 6 "no temporary folder can be made. Is the disk full?"
}

# is_roots PATH: whether only root, or an administrator who is root with a password, can change it.
is_roots() {
  [ -e "$1" ] && [ -z "$(find -L "$1" -maxdepth 0 ! -user root -print)" ] && [ -z "$(find -L "$1" -maxdepth 0 -perm -0002 -print)" ]
}

no_python() { fail 6 "no Python of$1with venv and tkinter in $PYTHONS. Install it from python.org, for all users, and run this again."; }

# find_python VERSIONS: sets PYTHON to the newest interpreter of python.org among these, such as " 3.11 3.12 ".
find_python() {
  local version each
  for version in 3.14 3.13 3.12 3.11; do
    each="$PYTHONS/$version/bin/python$version"
    if [[ "$1" != *" $version "* ]] || [ ! -x "$each" ]; then
      continue
    fi
    if ! is_roots "$each" || ! is_roots "${each%/*}"; then
      say "$each is not root's own, and is not taken."
      continue
    fi
    if "$each" -I -c 'import sys, tkinter, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      PYTHON="$each"
      return 0
    fi
  done
  return 1
}

# take_lock: nothing else installs meanwhile. The lock is of the open file, so it stays when Python has gone.
take_lock() {
  exec 9>"$LOCK"
  "$PYTHON" -I -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null ||
    fail 3 "another installation is running. Wait for it, then run this again."
}

# replace NEW PLACE: by one rename; a link to a folder is not followed, as mv does here.
replace() { "$PYTHON" -I -c 'import os, sys; os.replace(*sys.argv[1:])' "$1" "$2"; }

as_agent() { sudo -n -u "$ACCOUNT" -- /usr/bin/env -i PATH="$PATH" HOME=/var/empty LC_ALL=C "$@"; }

has_account() { id -u "$ACCOUNT" >/dev/null 2>&1; }

is_loaded() { launchctl print "$1" >/dev/null 2>&1; }

# unload TARGET: a job that launchd does not know is fine.
unload() {
  if is_loaded "$1"; then
    run launchctl bootout "$1"
  fi
}

# people: the users with a graphical session; macOS shows one at a time on the console.
people() {
  local uid
  uid="$(stat -f %u /dev/console 2>/dev/null)" || return 0
  [[ ! "$uid" =~ ^[1-9][0-9]*$ ]] || printf '%s\n' "$uid"
}

# fact NAME: a text of the checked manifest.
fact() { grep -oE "\"$1\":\"[^\"]*\"" "$WORK/release.json" | head -n 1 | sed -E 's/^"[^"]*":"(.*)"$/\1/'; }

# in_order VERSION: as text that sorts.
in_order() {
  local major minor patch
  IFS=. read -r major minor patch <<<"$1"
  printf '%06d%06d%06d' "$((10#$major))" "$((10#$minor))" "$((10#$patch))"
}

# is_below A B: whether version A is lower than B.
is_below() { [[ "$(in_order "$1")" < "$(in_order "$2")" ]]; }

# needs_brackets ADDRESS: whether an IPv6 address stands in it outside of brackets.
needs_brackets() {
  local place="${1#*//}"
  place="${place##*@}"
  place="${place%%/*}"
  [[ "$place" != *\[* && "$place" == *:*:* ]]
}

parse() {
  local form
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
  form='^https?://([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?$'
  [[ -z "$RELAY" || "$RELAY" =~ $form ]] || fail 2 "--relay needs an address such as https://relay.example"
  [ -z "$PROXY" ] || [ -z "$PROXY_FILE" ] || fail 2 "give --proxy or --proxy-file, not both."
  [[ "$PROXY" != *@* ]] || fail 2 "every user could read the password on the command line; use --proxy-file."
  if [ -n "$PROXY_FILE" ]; then
    [ -r "$PROXY_FILE" ] || fail 2 "the file $PROXY_FILE cannot be read."
    PROXY="$(head -c 2048 "$PROXY_FILE" | head -n 1)"
    [ -n "$PROXY" ] || fail 2 "the file $PROXY_FILE is empty."
  fi
  ! needs_brackets "$PROXY" || fail 2 "the proxy: an IPv6 address needs brackets, as in http://[2001:db8::1]:3128"
  [[ -z "$PROXY" || ("$PROXY" =~ ^[[:graph:]]+$ && "$PROXY" != *[\"\\]*) ]] || fail 2 "the proxy needs an address such as http://proxy.example:3128"
  form='^[0-9]{1,6}(\.[0-9]{1,6}){2}$'
  [[ -z "$AT_LEAST" || "$AT_LEAST" =~ $form ]] || fail 2 "--at-least needs a version such as 1.2.3"
}

check_programs() {
  local program missing=""
  for program in tar openssl cmp od install stat sudo dscl launchctl sw_vers; do
    command -v "$program" >/dev/null || missing="$missing $program"
  done
  [ -z "$RELAY" ] || command -v curl >/dev/null || missing="$missing curl"
  [ -z "$missing" ] || fail 6 "missing:$missing. Is this a Mac?"
  [ -z "$(find -L /opt -maxdepth 0 \( ! -user root -o -perm -0002 \) -print 2>/dev/null)" ] || fail 6 "/opt is not root's own. Have it so: sudo chown root:wheel /opt"
}

# Everything that follows reads this one copy, which only root can change.
take_bundle() {
  local machine words
  machine="$(uname -m)"
  if [ -n "$BUNDLE" ]; then
    [ -f "$BUNDLE" ] || fail 6 "there is no file $BUNDLE."
    head -c "$BUNDLE_LIMIT_BYTES" <"$BUNDLE" >"$WORK/bundle" || fail 6 "$BUNDLE cannot be copied. Is the disk full?"
    return
  fi
  say "Taking the bundle from $RELAY"
  words=(--fail --silent --show-error --location --max-redirs 3 --proto '=http,https' --max-filesize "$BUNDLE_LIMIT_BYTES"
    --connect-timeout 20 --speed-limit 1024 --speed-time 60 --retry 3 --output "$WORK/bundle")
  if [ -n "$PROXY" ]; then
    printf 'proxy = "%s"\n' "$PROXY" >"$WORK/curl"
    words+=(--config "$WORK/curl")
  fi
  curl "${words[@]}" "$RELAY/release/agent-macos-$machine.bundle" ||
    fail 4 "the relay hands out no bundle for a Mac of $machine. Check the address, the proxy and the disk; then run this again."
}

check_version() {
  local now installed sha256 pythons form='^[0-9]{1,6}(\.[0-9]{1,6}){2}$'
  VERSION="$(fact version)"
  [[ "$VERSION" =~ $form ]] || fail 5 "the release has no version. (E_RELEASE_FORMAT)"
  [ "$(fact platform) $(fact machine)" = "macos $(uname -m)" ] || fail 5 "the release is for another kind of computer. (E_RELEASE_PLATFORM)"
  now="$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  [[ "$(fact expires_at_utc)" > "$now" ]] || fail 3 "the release has expired. Take a newer one, or set this computer's clock. (E_RELEASE_EXPIRED)"
  if [ -n "$AT_LEAST" ] && is_below "$VERSION" "$AT_LEAST"; then
    fail 3 "version $VERSION is older than $AT_LEAST. Whoever handed it out may want an old fault back. (E_RELEASE_VERSION)"
  fi
  if [ -L "$PREFIX/current" ]; then
    installed="$(basename "$(readlink "$PREFIX/current")")"
    installed="${installed%-*}"
    if [[ "$installed" =~ $form ]] && is_below "$VERSION" "$installed"; then
      fail 3 "version $installed is installed, and $VERSION is older. Uninstall first if you mean it. (E_RELEASE_VERSION)"
    fi
  fi
  pythons=" $(grep -oE '"pythons":\[[^]]*\]' "$WORK/release.json" | grep -oE '3\.[0-9]+' | tr '\n' ' ')"
  find_python "$pythons" || no_python "$pythons"
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
    say "would install version $VERSION in $HERE, with $PYTHON"
    return
  fi
  say "Installing version $VERSION, with $PYTHON"
  (umask 022 && mkdir -p -- "$PREFIX/versions")
  rm -rf -- "$HERE"
  (umask 022 && "$PYTHON" -I -m venv --without-pip -- "$HERE") || fail 6 "no Python environment can be made in $HERE. Is the disk full?"
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
    --no-cache-dir --require-hashes --requirement "$WORK/requirements.txt") ||
    fail 6 "the release cannot be unpacked into $HERE. Is the disk full, or this macOS ($(sw_vers -productVersion)) older than its wheels?"
  sync
  : >"$HERE/$STAMP"
  sync
}

# record PATH KEY VALUE: one entry of the directory of accounts, unless it is there as it should be; a password is never read back.
record() {
  local found
  found="$(dscl . -read "$1" "$2" 2>/dev/null)" || found=""
  found="${found#dsAttrTypeNative:}"
  if [ "$found" = "$2: $3" ] || [[ "$2" == Password && "$found" == "$2:"* ]]; then
    return 0
  fi
  change
  run dscl . -create "$1" "$2" "$3"
}

# free_id: the first number that neither a user nor a group has.
free_id() {
  local id users groups
  users="$(dscl . -list /Users UniqueID | awk '{ print $NF }')"
  groups="$(dscl . -list /Groups PrimaryGroupID | awk '{ print $NF }')"
  for ((id = 350; id < 500; id++)); do
    if ! grep -qx "$id" <<<"$users" && ! grep -qx "$id" <<<"$groups"; then
      printf '%s\n' "$id"
      return 0
    fi
  done
  return 1
}

# A user without a shell, a home and a password that nobody can log in as; a run that was cut short is finished by the next one.
make_account() {
  local id
  id="$(dscl . -read "/Groups/$ACCOUNT" PrimaryGroupID 2>/dev/null | awk '{ print $2 }')" || id=""
  [[ "$id" =~ ^[0-9]+$ ]] || id="$(free_id)" || fail 6 "no number from 350 to 499 is free for the account $ACCOUNT."
  record "/Groups/$ACCOUNT" PrimaryGroupID "$id"
  record "/Groups/$ACCOUNT" Password '*'
  record "/Users/$ACCOUNT" UniqueID "$id"
  record "/Users/$ACCOUNT" PrimaryGroupID "$id"
  record "/Users/$ACCOUNT" UserShell /usr/bin/false
  record "/Users/$ACCOUNT" NFSHomeDirectory /var/empty
  record "/Users/$ACCOUNT" Password '*'
  record "/Users/$ACCOUNT" IsHidden 1
  [ -n "$DRY_RUN" ] || install -d -m 0700 -o "$id" -g "$id" "$STATE"
  [ -n "$DRY_RUN" ] || install -d -m 0755 -o "$id" -g "$id" "$RUN"
}

# put FILE PLACE: root's own, readable by all, in one step, unless it is there as it should be.
put() {
  if cmp -s -- "$1" "$2"; then
    return 0
  fi
  change
  SWITCHED=yes
  [ -n "$DRY_RUN" ] || (umask 022 && mkdir -p -- "${2%/*}")
  run install -m 0644 -o 0 -g 0 "$1" "$2.new"
  run replace "$2.new" "$2"
}

# unit PLACE: a job of the release.
unit() {
  local name="${1##*/}"
  grep -qF "$name " "$WORK/list" || return 0
  member "$WORK/bundle" "$name" 262144 >"$WORK/$name" || fail 6 "$name cannot be unpacked. Is the disk full?"
  put "$WORK/$name" "$1"
}

# link TARGET PLACE: in one step, so that whoever looks finds the old target or the new one.
link() {
  [ "$(readlink "$2" || true)" != "$1" ] || return 0
  change
  [ "$2" != "$PREFIX/current" ] || SWITCHED=yes
  [ -n "$DRY_RUN" ] || (umask 022 && mkdir -p -- "${2%/*}")
  run rm -f -- "$2.new"
  run ln -s -- "$1" "$2.new"
  run replace "$2.new" "$2"
}

# The version before stays, to go back to; older ones and halves go.
drop_old() {
  local each kept="" before=""
  [ -z "$DRY_RUN" ] || return 0
  for each in "$PREFIX/versions"/*; do
    if [ "$each" != "$HERE" ] && [ -f "$each/$STAMP" ] && { [ -z "$before" ] || [ "$each/$STAMP" -nt "$before/$STAMP" ]; }; then
      before="$each"
    fi
  done
  for each in "$PREFIX/versions"/*; do
    kept="$HERE|$before"
    [[ "|$kept|" == *"|$each|"* ]] || rm -rf -- "$each"
  done
}

# The agent's own way to the relay, in a file that the agent alone reads.
keep_proxy() {
  [ -n "$PROXY" ] || return 0
  if [ -n "$DRY_RUN" ]; then
    say "would keep the proxy's address for the agent"
    return
  fi
  [ "$(as_agent cat "$STATE/relay-proxy" 2>/dev/null || true)" != "$PROXY" ] || return 0
  change
  SWITCHED=yes
  if ! printf '%s\n' "$PROXY" | as_agent tee "$STATE/relay-proxy.new" >/dev/null ||
    ! as_agent mv -f "$STATE/relay-proxy.new" "$STATE/relay-proxy"; then
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
    token="$(head -c 16384 "$TOKEN_FILE")"
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
  local uid
  if [ -n "$SWITCHED" ]; then
    unload system/alongside-agent
  fi
  run launchctl enable system/alongside-agent
  if ! is_loaded system/alongside-agent; then
    run launchctl bootstrap system "$DAEMON"
  fi
  # who is not at the screen now gets it at the next log-in
  for uid in $(people); do
    if [ -n "$SWITCHED" ]; then
      unload "gui/$uid/alongside-agent-desktop"
    fi
    is_loaded "gui/$uid/alongside-agent-desktop" || run launchctl bootstrap "gui/$uid" "$DESKTOP" ||
      say "The desktop process starts when user $uid logs in again."
  done
}

uninstall() {
  local each uid found="" files
  files=("$DAEMON" "$DESKTOP" "$PATHS")
  # .new: what a killed run left
  files+=("${files[@]/%/.new}")
  for each in "$PREFIX" "$RUN" "${files[@]}" ${PURGE:+"$STATE"}; do
    [ ! -e "$each" ] && [ ! -L "$each" ] || found=yes
  done
  if [ -n "$PURGE" ] && has_account; then
    found=yes
  fi
  if [ -z "$found" ]; then
    say "unchanged: it is not installed."
    return
  fi
  for uid in $(people); do
    unload "gui/$uid/alongside-agent-desktop" || true
  done
  unload system/alongside-agent || true
  if [ -n "$PURGE" ] && [ -e "$STATE/identity.pem" ] && [ -x "$PREFIX/current/bin/alongside-agent" ]; then
    run as_agent "$PREFIX/current/bin/alongside-agent" leave --data "$STATE" >/dev/null || true
  fi
  run rm -f -- "${files[@]}"
  run rm -rf -- "$PREFIX" "$RUN"
  if [ -z "$PURGE" ]; then
    say "Removed. Identity and history stay in $STATE; --uninstall --purge removes them too."
    return
  fi
  run rm -rf -- "$STATE"
  if has_account; then
    run dscl . -delete "/Users/$ACCOUNT"
  fi
  if dscl . -read "/Groups/$ACCOUNT" >/dev/null 2>&1; then
    run dscl . -delete "/Groups/$ACCOUNT"
  fi
  say "Removed, with identity and history."
}

main() {
  local every=" 3.14 3.13 3.12 3.11 "
  CHANGED="" SWITCHED="" PYTHON=""
  parse "$@"
  [ -n "$DRY_RUN" ] || [ "$(id -u)" = 0 ] || fail 3 "this needs root. Run it with sudo."
  if [ -n "$UNINSTALL" ]; then
    # whoever removed Python can still remove this
    ! find_python "$every" || [ -n "$DRY_RUN" ] || take_lock
    uninstall
    return
  fi
  check_programs
  find_python "$every" || no_python "$every"
  [ -n "$DRY_RUN" ] || take_lock
  trap clean_up EXIT
  make_work
  take_bundle
  (verify "$WORK/bundle" "$FINGERPRINT" "$WORK") || exit "$?"
  check_version
  # the run before was cut short: perhaps after the switch and before the start
  [ ! -e "$PENDING" ] || CHANGED=yes SWITCHED=yes
  stage
  make_account
  unit "$DAEMON"
  unit "$DESKTOP"
  link "versions/$NAME" "$PREFIX/current"
  link "$PREFIX/current/bin/alongside-agent" "$COMMAND"
  printf '%s\n' "${COMMAND%/*}" >"$WORK/paths"
  put "$WORK/paths" "$PATHS"
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
