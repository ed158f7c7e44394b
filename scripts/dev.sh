#!/bin/sh
# The server and Vite side by side: dev.sh PORT [flags of `speculatoviz serve`]. If one ends, the other is ended too.
set -eu
cd "$(dirname "$0")/.."
server=""
vite=""
port=$1
shift

running() { kill -0 "$1" 2>/dev/null; }

# A server that is loading a model may react late to a signal: after five seconds it is killed.
stop() {
  trap - EXIT
  trap '' INT TERM
  for _ in 1 2 3 4 5; do
    kill "$server" "$vite" 2>/dev/null || true
    if ! running "$server" && ! running "$vite"; then return; fi
    sleep 1
  done
  kill -KILL "$server" "$vite" 2>/dev/null || true
}
trap stop EXIT
trap 'stop; exit 0' INT TERM

.venv/bin/speculatoviz serve --port "$port" "$@" &
server=$!
(cd frontend && SPECULATOVIZ_SERVER="http://127.0.0.1:$port" exec node node_modules/vite/bin/vite.js) &
vite=$!

while running "$server" && running "$vite"; do
  sleep 1 &
  wait $! || true
done
stop
exit 1
