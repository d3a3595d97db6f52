#!/bin/sh
# The board's side of `edgeshift deploy`: sh board.sh VERB ROOT [ARGUMENT ...]
#
# POSIX sh and sha256sum, tar, ln, mv -T, df, awk, find, setsid; no Node. Every change of what serves is one rename, so that
# a kill or a power cut between any two commands leaves a whole release in charge. Answers are `key=value` lines on stdout.
#
# Exit codes: 0 done; 64 wrong use; 65 damaged data; 69 a program is missing; 73 the disk refused; 75 another push holds the
# root; 76 the lock was lost; 80 unhealthy, the former release serves again; 81 unhealthy, and nothing took its place;
# 82 there is nothing to roll back to.
set -u
umask 022
export LC_ALL=C

# A push whose laptop has been silent for so many minutes may be taken over.
SILENT_MINUTES=2
# Seconds that a service may take to write its delta when it is asked to.
EXPORT_SECONDS=15
# Seconds that a service may take to stop before it is killed.
STOP_SECONDS=10
# What is kept of the log when it has become twice as long.
LOG_MEBIBYTES=8

fail() {
  code=$1
  shift
  printf 'board: %s\n' "$*" >&2
  exit "$code"
}

say() { printf '%s=%s\n' "$1" "$2"; }
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
# Seconds that no clock change touches.
uptime_seconds() {
  read -r seconds _ < /proc/uptime
  printf '%s' "${seconds%.*}"
}

# A fifth of a second where fractions are known, else a whole one.
nap() { sleep 0.2 2> /dev/null || sleep 1; }

# ---- processes: a process is its id, the tick it started at, and the boot this was in -------------------------------

# State and start of a process; nothing if there is none, or only a zombie.
start_of() {
  stat=$(cat "/proc/$1/stat" 2> /dev/null) || return 0
  # shellcheck disable=SC2086
  set -- ${stat##*) }
  [ "$1" = Z ] || printf '%s' "${20}"
}
boot=$(cat /proc/sys/kernel/random/boot_id 2> /dev/null || echo unknown)
identity() { printf '%s %s %s\n' "$1" "$(start_of "$1")" "$boot"; }
# alive PID START BOOT
alive() { [ -n "${2-}" ] && [ "${3-}" = "$boot" ] && [ "$(start_of "$1")" = "$2" ]; }
# The process named in the first line of a file.
alive_in() {
  [ -f "$1" ] && read -r process begun during _ < "$1" && alive "$process" "$begun" "$during"
}
write_whole() { cat > "$1.$$" && mv -f "$1.$$" "$1"; }

# ---- root -----------------------------------------------------------------------------------------------------------

find_root() {
  case $1 in
    '') fail 64 'a root folder is needed' ;;
    /*) root=$1 ;;
    *) root=$HOME/$1 ;;
  esac
}
make_root() {
  for part in objects incoming releases state lock; do
    mkdir -p "$root/$part" || fail 73 "cannot make $root/$part"
  done
  [ -f "$root/service-manager" ] || echo plain | write_whole "$root/service-manager"
}
manager() { cat "$root/service-manager" 2> /dev/null || echo plain; }
current_id() {
  link=$(readlink "$root/current" 2> /dev/null) || return 0
  printf '%s' "${link##*/}"
}
is_id() {
  case $1 in '' | *[!0-9a-f]*) return 1 ;; esac
  [ ${#1} -eq 16 ]
}
# The release that served before the current one and still is here.
former_id() {
  awk -v now="$(current_id)" '$4 == "ok" && $2 != now { print $2 }' "$root/history" 2> /dev/null |
    while read -r id; do
      [ -f "$root/releases/$id/manifest.json" ] && echo "$id"
    done | tail -n 1
}
# record ID WHAT RESULT
record() { printf '%s %s %s %s\n' "$(now)" "$1" "$2" "$3" >> "$root/history"; }
# Makes a release the current one, in one rename; `-` means none.
point() {
  if [ "$1" = - ]; then
    rm -f "$root/current"
  else
    rm -f "$root/current.$$"
    ln -s "releases/$1" "$root/current.$$" && mv -T "$root/current.$$" "$root/current"
  fi || fail 73 "cannot switch to $1"
  sync
}

# ---- lock: one file that appears with its content, by a hard link ---------------------------------------------------

# The holder is gone, or its laptop has said nothing for minutes.
stale_lock() {
  [ -f "$root/lock/holder" ] || return 1
  alive_in "$root/lock/holder" || return 0
  [ -n "$(find "$root/lock/holder" -mmin "+$SILENT_MINUTES" 2> /dev/null)" ]
}
holder() { tail -n 1 "$root/lock/holder" 2> /dev/null; }
claim() { ln "$root/lock/claim.$$" "$root/lock/holder" 2> /dev/null; }
# take_lock WHO; the token is the process that holds it
take_lock() {
  printf '%s\n%s\n' "$(identity $$)" "$1, since $(now)" > "$root/lock/claim.$$" || fail 73 "cannot write to $root/lock"
  token=$$-$(start_of $$)
  taken=no
  if claim; then
    taken=yes
  elif stale_lock; then
    find "$root/lock" -name takeover -mmin +1 -exec rmdir {} \; 2> /dev/null
    if mkdir "$root/lock/takeover" 2> /dev/null; then
      if stale_lock; then
        alive_in "$root/lock/holder" && kill "$process" 2> /dev/null
        rm -f "$root/lock/holder"
        claim && taken=yes
      fi
      rmdir "$root/lock/takeover"
    fi
  fi
  rm -f "$root/lock/claim.$$"
  [ "$taken" = yes ]
}
# held TOKEN: only who holds the lock may change anything
held() {
  read -r process begun _ 2> /dev/null < "$root/lock/holder" && [ "$process-$begun" = "$1" ] ||
    fail 76 'the lock of this push was lost; push again'
  work=$root/incoming/$1
}
# From here on this process holds the lock, whatever becomes of the connection.
inherit_lock() {
  held "$1"
  { identity $$ && holder; } | write_whole "$root/lock/holder"
}
release_lock() {
  read -r process begun _ 2> /dev/null < "$root/lock/holder" || return 0
  [ "$process-$begun" = "$$-$(start_of $$)" ] && rm -f "$root/lock/holder"
  return 0
}

# ---- service: what the manager of this root starts, stops and knows --------------------------------------------------

# A word of status.json; a text inside another value has its quotes escaped and is not taken for one.
status_word() { sed -n "s/.*\"$1\" *: *\"\([A-Za-z0-9-]*\)\".*/\1/p" "$root/state/status.json" 2> /dev/null | tail -n 1; }
status_pid() { sed -n 's/.*"pid" *: *\([0-9]*\).*/\1/p' "$root/state/status.json" 2> /dev/null | tail -n 1; }
status_error() {
  sed -n 's/.*"error" *: *"\(.*\)".*/\1/p' "$root/state/status.json" 2> /dev/null | sed 's/\\"/"/g' | tail -n 1
}
# Id of the process that status.json speaks of, if it is the service's: after a loss of power the file is still there, and
# its number may be anybody's.
living_pid() {
  pid=$(status_pid)
  [ -n "$pid" ] || return 0
  case $(manager) in
    plain) alive_in "$root/state/service.pid" && main=$process || return 0 ;;
    user) main=$(systemctl --user show -p MainPID --value edgeshift.service 2> /dev/null) ;;
    *) main=$(systemctl show -p MainPID --value edgeshift.service 2> /dev/null) ;;
  esac
  [ "$main" != "$pid" ] || printf '%s' "$pid"
}
# The release whose process runs, as it says itself.
serving_id() { [ -z "$(living_pid)" ] || status_word release; }

unit() {
  if [ "$(manager)" = user ]; then
    systemctl --user "$@"
  elif [ "$(id -u)" = 0 ]; then
    systemctl "$@"
  else
    sudo -n systemctl "$@"
  fi
}

# unit_text FILE: a bundle's unit for this root
unit_text() { sed -e "s|@ROOT@|$root|g" -e "s|@USER@|$(stat -c %U "$root")|g" "$1"; }
# Whether the unit that root installed is that of a release.
unit_fits() {
  [ "$(unit_text "$root/releases/$1/service/edgeshift.service")" = "$(cat /etc/systemd/system/edgeshift.service 2> /dev/null)" ]
}
# write_unit FILE TEMPLATE: the unit as the current release wants it
write_unit() {
  mkdir -p "$(dirname "$1")"
  [ -f "$root/current/service/$2" ] || fail 65 "the current release has no service/$2"
  unit_text "$root/current/service/$2" | write_whole "$1" || fail 73 "cannot write $1"
  unit daemon-reload
  unit enable --quiet edgeshift.service
}

# While a process lives its log keeps to a size: a line comes with every frame, and cards are small. It is appended to, so that
# it may be cut while it is written.
bound_log() {
  while sleep 60 && [ -n "$(start_of "$1")" ]; do
    [ -n "$(find "$root/state/service.log" -size "+$((2 * LOG_MEBIBYTES))M" 2> /dev/null)" ] || continue
    tail -c "${LOG_MEBIBYTES}M" "$root/state/service.log" > "$root/state/service.1.log"
    : > "$root/state/service.log"
  done
}

start_supervisor() {
  setsid sh "$root/current/service/board.sh" supervise "$root" < /dev/null >> "$root/state/service.log" 2>&1 &
}
# Waits until another process than the one given was started, which may have ended already; one that will not end is killed.
wait_restart() {
  asked=$(uptime_seconds)
  tried=$asked
  alive_in "$root/state/supervisor.pid" || start_supervisor
  while [ "$(cat "$root/state/service.pid" 2> /dev/null)" = "$1" ]; do
    time=$(uptime_seconds)
    [ $((time - asked)) -le $((2 * STOP_SECONDS)) ] || return 0
    if [ $((time - asked)) -gt "$STOP_SECONDS" ] && alive_in "$root/state/service.pid"; then
      kill -KILL "$process" 2> /dev/null
    fi
    # It may need a while to say that it is there, on a busy board.
    if [ $((time - tried)) -ge 5 ]; then
      tried=$time
      alive_in "$root/state/supervisor.pid" || start_supervisor
    fi
    nap
  done
}
service_restart() {
  # service/run waits before it starts again what ended too soon; this restart is asked for.
  rm -f "$root/state/status.json" "$root/state/restarts"
  case $(manager) in
    plain)
      was=$(cat "$root/state/service.pid" 2> /dev/null)
      alive_in "$root/state/supervisor.pid" && kill -USR1 "$process" 2> /dev/null
      wait_restart "$was"
      ;;
    *)
      [ "$(manager)" != user ] || write_unit "$HOME/.config/systemd/user/edgeshift.service" edgeshift-user.service
      # The old process must not say that it is ready any more; the new one says itself when it is.
      unit stop edgeshift.service
      rm -f "$root/state/status.json"
      unit start --no-block edgeshift.service || echo "board: systemctl could not start edgeshift.service" >&2
      ;;
  esac
}
end_process() {
  asked=$(uptime_seconds)
  kill -TERM "$1" 2> /dev/null
  while [ -n "$(start_of "$1")" ] && [ $(($(uptime_seconds) - asked)) -lt "$STOP_SECONDS" ]; do nap; done
  [ -z "$(start_of "$1")" ] || kill -KILL "$1" 2> /dev/null
}
service_stop() {
  case $(manager) in
    plain)
      alive_in "$root/state/supervisor.pid" && end_process "$process"
      alive_in "$root/state/service.pid" && end_process "$process"
      ;;
    *) unit stop edgeshift.service ;;
  esac
  return 0
}

# The service of boards without systemd: starts it, and again when it ends; service/run itself waits longer and longer. Each
# turn becomes the board.sh of the release that is current then.
supervise() {
  if alive_in "$root/state/supervisor.pid" && [ "$process" != $$ ]; then return 0; fi
  identity $$ | write_whole "$root/state/supervisor.pid"
  alive_in "$root/state/service.pid" && end_process "$process"
  undo_pending && rm -f "$root/pending"
  id=$(current_id)
  [ -f "$root/releases/$id/service/run" ] || fail 65 "$root/current leads to no release"
  rm -f "$root/state/status.json"
  wanted=run
  child=
  trap 'wanted=again; [ -z "$child" ] || kill -TERM "$child" 2> /dev/null' USR1
  trap 'wanted=stop; [ -z "$child" ] || kill -TERM "$child" 2> /dev/null' TERM INT
  export EDGESHIFT_ROOT="$root" EDGESHIFT_STATUS="$root/state/status.json" EDGESHIFT_RELEASE="$id"
  cd "$root/state" || fail 73 "no folder $root/state"
  echo "$(now) starting $id"
  if [ "$wanted" = run ]; then
    sh "$root/releases/$id/service/run" < /dev/null &
    child=$!
    identity "$child" | write_whole "$root/state/service.pid"
    bound_log "$child" < /dev/null > /dev/null 2>&1 &
    [ "$wanted" = run ] || kill -TERM "$child" 2> /dev/null
    # A signal to this shell ends a wait, not the service.
    while [ -n "$(start_of "$child")" ]; do wait "$child"; done
    wait "$child" 2> /dev/null
  fi
  echo "$(now) $id ended"
  child=
  if [ "$wanted" = stop ]; then
    rm -f "$root/state/supervisor.pid"
    return 0
  fi
  [ "$wanted" = again ] || sleep 1
  exec sh "$root/current/service/board.sh" supervise "$root"
}

# ---- switching ------------------------------------------------------------------------------------------------------

# `pending` holds the release switched to, the one before it, and the process that will confirm it: it is there from before the
# switch until the new release was healthy. A switch that nobody is left to confirm is undone; false if there is none.
undo_pending() {
  read -r new old process begun during 2> /dev/null < "$root/pending" || return 1
  alive "$process" "$begun" "$during" && return 1
  if [ "$(current_id)" = "$new" ] && { [ "$old" = - ] || [ -f "$root/releases/$old/manifest.json" ]; }; then
    point "$old"
    record "$new" push interrupted
    [ "$old" = - ] || record "$old" automatic-rollback ok
    echo "board: the switch to $new was interrupted and is undone" >&2
  fi
}
# The same, and what runs is what is current.
settle() {
  undo_pending || return 0
  id=$(current_id)
  if [ -z "$id" ]; then
    service_stop
  elif [ "$(serving_id)" != "$id" ]; then
    service_restart
  fi
  rm -f "$root/pending"
}

# healthy ID TIMEOUT SECONDS: ready within TIMEOUT, and so for SECONDS, in one process; else `reason` says why not
healthy() {
  reason="not ready within $2 s"
  began=$(uptime_seconds)
  ready=
  while :; do
    # The laptop's silence does not matter while this waits.
    touch -c "$root/lock/holder"
    time=$(uptime_seconds)
    state=$(status_word state)
    pid=$(living_pid)
    if [ -n "$ready" ] && { [ "$pid" != "$ready" ] || [ "$state" != ready ]; }; then
      reason="ready, then ${state:-gone}$([ "$pid" = "$ready" ] || echo ' (its process ended)')"
      return 1
    fi
    if [ "$state" = failed ]; then
      reason="failed: $(status_error)"
      return 1
    fi
    if [ "$state" = ready ] && [ -n "$pid" ]; then
      if [ "$(status_word release)" != "$1" ]; then
        reason="ready as release $(status_word release), not as $1"
        return 1
      fi
      [ -n "$ready" ] || since=$time
      ready=$pid
      [ $((time - since)) -lt "$3" ] || return 0
    elif [ $((time - began)) -ge "$2" ]; then
      [ -z "$state" ] && reason="$reason: no state/status.json" || reason="$reason: state is $state"
      return 1
    fi
    nap
  done
}

# Undoes what a killed activation left, as soon as it is gone.
guard() {
  while alive "$1" "$2" "$3"; do nap; done
  [ -f "$root/pending" ] || return 0
  take_lock "guard of an interrupted switch" || return 0
  settle
  release_lock
}

# activate ID TIMEOUT SECONDS WHAT: switches, and back if the new release does not become healthy
activate() {
  target=$1 what=$4
  is_id "$target" && [ -f "$root/releases/$target/manifest.json" ] || fail 65 "there is no release $target in $root/releases"
  # Neither a cut connection nor a closed pipe ends what has begun.
  trap : HUP PIPE
  trap release_lock EXIT
  old=$(current_id)
  if [ "$old" = "$target" ]; then
    if [ "$(serving_id)" = "$target" ] && healthy "$target" "$2" "$3"; then
      say result unchanged
      return 0
    fi
    old=$(former_id)
  fi
  [ -f "$root/releases/$old/manifest.json" ] || old=-
  [ "$(manager)" != system ] || unit_fits "$target" ||
    echo "board: the unit of $target is another than the installed one (memory, devices): as root, board.sh install $root system" >&2
  # Known before the guard starts, who may come too late to look at a process that was killed.
  self=$(identity $$)
  # shellcheck disable=SC2086
  setsid sh "$0" guard "$root" $self < /dev/null > /dev/null 2>&1 &
  printf '%s %s %s\n' "$target" "$old" "$self" | write_whole "$root/pending" ||
    fail 73 "cannot write $root/pending; nothing was switched"
  # On the disk before what it undoes.
  sync
  say step switch
  point "$target"
  say step restart
  service_restart
  say step health
  if healthy "$target" "$2" "$3"; then
    record "$target" "$what" ok
    rm -f "$root/pending"
    sync
    say result updated
    return 0
  fi
  why=$reason
  record "$target" "$what" unhealthy
  say step rollback
  point "$old"
  if [ "$old" = - ]; then
    service_stop
    rm -f "$root/pending"
    fail 81 "$target is unhealthy ($why), and there is no former release: nothing serves now"
  fi
  service_restart
  healthy "$old" "$2" "$3"
  back=$?
  record "$old" automatic-rollback "$([ "$back" = 0 ] && echo ok || echo unhealthy)"
  rm -f "$root/pending"
  [ "$back" = 0 ] || fail 81 "$target is unhealthy ($why), and so is the former release $old now ($reason)"
  fail 80 "$target is unhealthy ($why); $old serves again"
}

# ---- files ----------------------------------------------------------------------------------------------------------
# An object is named by the sha256 of its content, with `.x` behind it if it may be executed.

object() {
  rest=${1#??}
  printf '%s' "${1%"$rest"}/$rest"
}
# Names of the files of a folder of objects whose content is not what their name says.
damaged_objects() {
  (cd "$1" && find . -type f -exec sha256sum {} +) | while read -r sum path; do
    key=${path#./}
    key=${key%%/*}${key#*/}
    [ "${key%.x}" = "$sum" ] || printf '%s\n' "$path"
  done
}
# Moves the whole ones of uploaded objects to their places and drops the others.
adopt_objects() {
  [ -d "$1" ] || return 0
  damaged_objects "$1" | while read -r path; do rm -f "$1/$path"; done
  find "$1" -type f -name '*.x' -exec chmod 555 {} +
  find "$1" -type f ! -name '*.x' -exec chmod 444 {} +
  # On the disk before they have a name that counts.
  sync
  for folder in "$1"/*/; do
    place=${folder%/}
    place=$root/objects/${place##*/}
    mkdir -p "$place" 2> /dev/null && mv -f "$folder"* "$place/" 2> /dev/null
  done
}
# What pushes that were cut off left: their whole objects are kept.
clean_incoming() {
  for left in "$root"/incoming/*/; do
    [ -d "$left" ] || continue
    adopt_objects "${left}objects"
    rm -rf "$left"
  done
  find /tmp -maxdepth 1 -name 'edgeshift-board.*' -user "$(id -un)" -mmin +1440 -exec rm -f {} + 2> /dev/null
  rm -f "$root"/current.[0-9]* "$root"/pending.[0-9]* "$root"/lock/claim.* "$root"/lock/pull.* "$root"/lock/asked.* "$root"/lock/holder.[0-9]*
}
# prune KEEP: keeps the current release, the former one, the newest others up to KEEP, and the objects of these
prune() {
  current=$(current_id) former=$(former_id)
  left=$1
  for id in $current $former; do left=$((left - 1)); done
  # Newest first; ids are hexadecimal, so that ls is safe to read.
  # shellcheck disable=SC2012
  for id in $(ls -1t "$root/releases"); do
    [ "$id" != "$current" ] && [ "$id" != "$former" ] || continue
    left=$((left - 1))
    [ "$left" -lt 0 ] || continue
    mv "$root/releases/$id" "$work/pruned.$id" && rm -rf "$work/pruned.$id"
    say pruned "$id"
  done
  find "$root/objects" -type f -links 1 -exec rm -f {} +
}
free_bytes() {
  folder=$root
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  df -Pk "$folder" | awk 'NR == 2 { printf "%.0f", $4 * 1024 }'
}

# ---- verbs ----------------------------------------------------------------------------------------------------------

verb_preflight() {
  say machine "$(uname -m)"
  say kernel "$(uname -sr)"
  say libc "$(getconf GNU_LIBC_VERSION 2> /dev/null || ldd --version 2>&1 | head -n 1)"
  say node "$(node -v 2> /dev/null)"
  say free "$(free_bytes)"
  say memory "$(awk '/^MemAvailable:/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)"
  lacking=
  for tool in sha256sum tar ln mv df awk find setsid sed readlink; do
    command -v "$tool" > /dev/null 2>&1 || lacking="$lacking $tool"
  done
  say lacking "${lacking# }"
  say manager "$(manager)"
  say current "$(current_id)"
  pid=$(living_pid)
  say held "$(awk '/^VmRSS:/ { printf "%.0f", $2 * 1024 }' "/proc/${pid:-none}/status" 2> /dev/null)"
  folder=$root
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  say writable "$([ -w "$folder" ] && echo yes || echo no)"
}

# Holds the lock for as long as its input is open; a line on it says that the laptop still is there.
verb_hold() {
  make_root
  take_lock "$1" || fail 75 "another push holds $root: $(holder)"
  trap release_lock EXIT
  trap 'exit 1' HUP INT TERM PIPE
  settle
  clean_incoming
  mkdir "$root/incoming/$token" || fail 73 "cannot make a folder in $root/incoming"
  say token "$token"
  while read -r _; do touch -c "$root/lock/holder"; done
  # Where an upload was cut off, what it takes in is still busy there.
  [ -d "$root/incoming/$token/objects" ] || [ -d "$root/incoming/$token/release" ] || rm -rf "$root/incoming/$token"
}

# Keys on stdin; says those that are not here, or not whole.
verb_have() {
  held "$1"
  while read -r key; do
    path=$(object "$key")
    if [ -f "$root/objects/$path" ]; then
      printf '%s  %s\n' "${key%.x}" "$path" >&3
    else
      say missing "$key"
    fi
  done 3> "$work/here"
  [ -s "$work/here" ] || return 0
  (cd "$root/objects" && sha256sum -c "$work/here" 2> /dev/null) | sed -n 's/: FAILED.*//p' | while read -r path; do
    rm -f "$root/objects/$path"
    say missing "${path%%/*}${path#*/}"
  done
}

# A tar of objects on stdin.
verb_put() {
  held "$1"
  mkdir -p "$work/objects" || fail 73 "cannot make a folder in $work"
  problem=$(tar -xf - -C "$work/objects" 2>&1)
  code=$?
  adopt_objects "$work/objects"
  rm -rf "$work/objects"
  [ "$code" = 0 ] && return 0
  case $problem in
    *'No space left'* | *'quota exceeded'*) fail 73 "the disk is full: $(free_bytes) bytes are free for $root" ;;
  esac
  fail 65 "the upload ended early: $(printf '%s' "$problem" | tail -n 1)"
}

# assemble TOKEN ID: `key path` lines on stdin become a release, checked as a whole before it has its name
verb_assemble() {
  held "$1"
  is_id "$2" || fail 64 "no release id: $2"
  tree=$work/release
  rm -rf "$tree"
  mkdir "$tree" || fail 73 "cannot make $tree"
  while read -r key path; do
    folder=$(dirname "$tree/$path")
    [ -d "$folder" ] || mkdir -p "$folder" || fail 73 "cannot make $folder"
    ln "$root/objects/$(object "$key")" "$tree/$path" || fail 65 "no object $key for $path; push again"
  done
  check_sums "$tree" || fail 65 "the release on the board is damaged: $problem; push again"
  sync
  # Another push that took the lock over meanwhile clears this folder away.
  held "$1"
  if [ -e "$root/releases/$2" ]; then
    check_sums "$root/releases/$2" && return 0
    [ "$(current_id)" != "$2" ] ||
      fail 65 "release $2 is current and damaged: $problem; roll back, then push it again"
    mv "$root/releases/$2" "$work/damaged" || fail 73 "cannot move releases/$2 away"
  fi
  mv -T "$tree" "$root/releases/$2" || fail 73 "cannot move the release to releases/$2"
  sync
}
check_sums() {
  problem=$(cd "$1" && sha256sum -c SHA256SUMS 2>&1 | grep -v ': OK$' | head -n 3 | tr '\n' ' ')
  [ -z "$problem" ] || return 1
  # Every file but the sums themselves.
  named=$(wc -l < "$1/SHA256SUMS")
  found=$(find "$1" ! -type d | wc -l)
  [ "$found" -eq $((named + 1)) ] && return 0
  problem="$found files, where SHA256SUMS names $named"
  return 1
}

# activate TOKEN ID TIMEOUT SECONDS KEEP
verb_activate() {
  inherit_lock "$1"
  activate "$2" "$3" "$4" push
  prune "$5"
}

# rollback TOKEN ID|- TIMEOUT SECONDS
verb_rollback() {
  inherit_lock "$1"
  id=$2
  [ "$id" != - ] || id=$(former_id)
  if [ -z "$id" ]; then
    release_lock
    fail 82 "no release served before $(current_id) that still is here"
  fi
  say target "$id"
  activate "$id" "$3" "$4" rollback
}

verb_status() {
  [ -d "$root" ] || fail 82 "there is nothing in $root"
  say manager "$(manager)"
  say current "$(current_id)"
  say former "$(former_id)"
  say serving "$(serving_id)"
  say pid "$(living_pid)"
  say free "$(free_bytes)"
  [ ! -f "$root/pending" ] || say pending "$(cat "$root/pending")"
  ! alive_in "$root/lock/holder" || say holder "$(holder)"
  # shellcheck disable=SC2012
  for id in $(ls -1t "$root/releases" 2> /dev/null); do say release "$id"; done
  [ ! -f "$root/state/status.json" ] || say status "$(tr -d '\r\n' < "$root/state/status.json")"
  tail -n 10 "$root/history" 2> /dev/null | sed 's/^/history=/'
}

# logs LINES FOLLOW
verb_logs() {
  case $(manager) in
    plain)
      [ -f "$root/state/service.log" ] || fail 82 "there is no log in $root/state"
      follow=
      [ "$2" != yes ] || follow=-f
      exec tail -n "$1" $follow "$root/state/service.log"
      ;;
    user) set -- journalctl --user -u edgeshift -n "$1" $([ "$2" != yes ] || echo -f) ;;
    *) set -- journalctl -u edgeshift -n "$1" $([ "$2" != yes ] || echo -f) ;;
  esac
  exec "$@"
}

# Has an `adapt` that runs write what it has learnt until now, and waits for the file, though not for long.
refresh_delta() {
  run=$root/current/config/run
  pid=$(living_pid)
  [ -n "$pid" ] && [ "$(status_word state)" = ready ] && [ "$(head -n 1 "$run")" = adapt ] || return 0
  delta=$(sed -n '/^--export-delta$/{n;p;}' "$run")
  [ -n "$delta" ] || return 0
  asked=$(uptime_seconds)
  touch "$root/lock/asked.$$"
  kill -USR1 "$pid" 2> /dev/null
  while [ -z "$(find "$root/state/$delta" -newer "$root/lock/asked.$$" 2> /dev/null)" ]; do
    [ $(($(uptime_seconds) - asked)) -lt "$EXPORT_SECONDS" ] || break
    nap
  done
  rm -f "$root/lock/asked.$$"
}

# What the board learnt, as a tar: deltas, the newest snapshot of each run, metrics, decisions, status, log, profile.
verb_pull() {
  [ -d "$root/state" ] || fail 82 "there is nothing in $root"
  cd "$root" || fail 82 "there is nothing in $root"
  refresh_delta
  find state -type f \( -name '*.safetensors' -o -name '*.json' -o -name '*.jsonl' -o -name '*.csv' -o -name '*.log' \) |
    sort -r | awk '
      # Snapshots are numbered with leading zeros, so that the newest comes first.
      match($0, /\/frame-[0-9]+\.safetensors$/) { folder = substr($0, 1, RSTART); if (seen[folder]++) next }
      { print }' > "lock/pull.$$"
  [ ! -f history ] || echo history >> "lock/pull.$$"
  release=releases/$(current_id)
  for file in manifest.json config/profile.json config/run; do
    [ ! -f "$release/$file" ] || echo "$release/$file" >> "lock/pull.$$"
  done
  tar -cf - -T "lock/pull.$$" 2> /dev/null
  code=$?
  rm -f "lock/pull.$$"
  # 1: a file grew while it was read, as logs do.
  [ "$code" -le 1 ] || fail 65 "tar could not read $root/state"
}

# install plain|user|system: which manager starts the service; `system` is run by root, on the board, after a first push
verb_install() {
  case $1 in
    plain) ;;
    user)
      systemctl --user show-environment > /dev/null 2>&1 ||
        fail 69 'no systemd of this user answers (loginctl enable-linger?); nothing was changed'
      ;;
    system) [ "$(id -u)" = 0 ] || fail 64 'a system unit is installed by root' ;;
    *) fail 64 'install plain, user or system' ;;
  esac
  make_root
  [ "$(manager)" != "$1" ] || [ "$1" = system ] || return 0
  [ "$1" != system ] || [ -n "$(current_id)" ] || fail 82 'there is no release yet: push one first'
  [ "$1" != system ] || [ "$(manager)" != user ] || fail 64 'the service is a unit of the user: install plain as that user first'
  service_stop
  # It would start at the next boot beside the other one.
  [ "$(manager)" = plain ] || [ "$(manager)" = "$1" ] || unit disable --quiet edgeshift.service
  echo "$1" | write_whole "$root/service-manager"
  [ "$1" != system ] || write_unit /etc/systemd/system/edgeshift.service edgeshift.service
  [ -z "$(current_id)" ] || service_restart
}

main() {
  [ $# -ge 2 ] || fail 64 'sh board.sh VERB ROOT [ARGUMENT ...]'
  verb=$1
  find_root "$2"
  shift 2
  case $verb in
    preflight | hold | have | put | assemble | activate | rollback | status | logs | pull | install)
      "verb_$verb" "$@"
      ;;
    guard | supervise) "$verb" "$@" ;;
    # For who starts the service without a supervisor: before it starts, a switch that was never confirmed is undone.
    undo) ! undo_pending || rm -f "$root/pending" ;;
    *) fail 64 "no such verb: $verb" ;;
  esac
}

main "$@"
