#!/bin/sh
# Fail in words if a tool is missing on this machine: need.sh compiler | node | chromium
# `chromium` prints the path of the browser, or nothing if CHROMIUM is set.
set -eu

missing() {
  printf '%s\n%s\n' "$1" "$2" >&2
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

need_compiler() {
  for name in ${CXX:+"$CXX"} c++ g++ clang++; do
    if has "$name"; then return; fi
  done
  missing "llama.cpp is compiled on this machine, and no C++ compiler was found." \
    "Install one (Debian, Ubuntu: apt-get install g++; macOS: xcode-select --install) and run make again."
}

need_node() {
  has node || missing "The page is built with Node, and no node command was found." \
    "Install Node 20.19 or newer and run make again."
  node -e 'const [a, b] = process.versions.node.split(".").map(Number);
    process.exit((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22 ? 0 : 1)' ||
    missing "The page is built with Node 20.19, 22.12 or newer, and this one is $(node --version)." \
      "Install a newer Node and run make again."
  has npm || missing "Node was found, but its package manager npm was not." \
    "Install npm (Debian, Ubuntu: apt-get install npm) and run make again."
}

need_chromium() {
  if [ -n "${CHROMIUM:-}" ]; then
    [ -x "$CHROMIUM" ] || missing "CHROMIUM is $CHROMIUM, which is not an executable file." \
      "Set it to the path of Chromium or Chrome, or unset it."
    return
  fi
  for name in chromium chromium-browser google-chrome google-chrome-stable \
    "/Applications/Chromium.app/Contents/MacOS/Chromium" \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
    if has "$name"; then
      command -v "$name"
      return
    fi
  done
  missing "The browser tests need Chromium or Chrome, and neither was found." \
    "Install one (Debian: apt-get install chromium), or set CHROMIUM to its path, and run make again."
}

case "${1:-}" in
  compiler | node | chromium) "need_$1" ;;
  *) missing "need.sh has no check named ${1:-''}." "Name compiler, node or chromium." ;;
esac
