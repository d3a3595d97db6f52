#!/bin/sh
# Runs the bundle that it lies in: Node with the arguments of config/run, inside the state folder. Needs a POSIX shell and
# Node, and no service manager. ROOT/environment, if it is there, says what only this board knows, such as EDGESHIFT_TOKEN
# or EDGESHIFT_NODE: lines of NAME=value, as in config/edgeshift.env.
set -eu

bundle=$(CDPATH='' cd -P -- "$(dirname -- "$0")/.." && pwd -P)
release=${bundle##*/}
case ${bundle%/*} in
*/releases) root=${bundle%/releases/*} ;;
*) root=${EDGESHIFT_STATE:?"expected ROOT/releases/ID/service/run, found $0; else it says where the state is kept"} ;;
esac
state=${EDGESHIFT_STATE:-$root/state}

set -a
. "$bundle/config/edgeshift.env"
if [ -f "$root/environment" ]; then . "$root/environment"; fi
EDGESHIFT_RELEASE=$release
EDGESHIFT_STATUS=${EDGESHIFT_STATUS:-$state/status.json}
CACHE_DIRECTORY=${CACHE_DIRECTORY:-$state/cache}
set +a

mkdir -p "$state"
cd "$state"

# A release that ends within a minute without being asked to waits before it starts again: 5 s, 10 s, 20 s and so on up to
# 5 minutes. Service managers of boards know no growing delay (systemd does since 254), and must not give up either.
delay=0
if [ -f restarts ] && ! grep -q '"state":"stopping"' "$EDGESHIFT_STATUS" 2>/dev/null; then
  read -r was before since <restarts || was=''
  # A board without a clock of its own may be back in the past.
  age=$(($(date +%s) - since))
  if [ "$was" = "$release" ] && [ "$age" -ge 0 ] && [ "$age" -lt 60 ]; then
    delay=$((before == 0 ? 5 : before * 2))
    if [ "$delay" -gt 300 ]; then delay=300; fi
  fi
fi
if [ "$delay" -gt 0 ]; then
  echo "edgeshift: it ended too soon; starting again in $delay s" >&2
  sleep "$delay"
fi
echo "$release $delay $(date +%s)" >restarts.new
mv -f restarts.new restarts

set --
while IFS= read -r argument || [ -n "$argument" ]; do
  case $argument in @BUNDLE@/*) argument=$bundle/${argument#@BUNDLE@/} ;; esac
  set -- "$@" "$argument"
done <"$bundle/config/run"
# What was learnt before goes on.
if [ -n "${EDGESHIFT_RUN:-}" ] && [ -f "$EDGESHIFT_RUN/config.json" ]; then set -- "$@" --resume; fi

node=${EDGESHIFT_NODE:-$bundle/node/bin/node}
if [ ! -x "$node" ]; then node=node; fi
exec "$node" --max-semi-space-size=1 "$bundle/app/dist/tools/cli/main.js" "$@"
