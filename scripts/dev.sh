#!/bin/sh
# The server and Vite side by side: dev.sh PORT [flags of `speculatoviz serve`]. Either one's end ends the other.
set -eu
cd "$(dirname "$0")/.."
port=$1
shift

.venv/bin/speculatoviz serve --port "$port" "$@" &
server=$!
(cd frontend && SPECULATOVIZ_SERVER="http://127.0.0.1:$port" exec node node_modules/vite/bin/vite.js) &
vite=$!

stop() {
  trap - EXIT INT TERM
  kill "$server" "$vite" 2>/dev/null || true
  wait "$server" "$vite" 2>/dev/null || true
}
trap stop EXIT
trap 'stop; exit 130' INT TERM

while kill -0 "$server" 2>/dev/null && kill -0 "$vite" 2>/dev/null; do
  sleep 1
done
stop
exit 1
