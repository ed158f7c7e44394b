#!/bin/sh
# Make the environment in .venv, from the Python in PYTHON or the first of the usual names that is new enough.
# A working environment is kept; a broken one, or one with an old Python, is made again.
set -eu
cd "$(dirname "$0")/.."

new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

if .venv/bin/python -c "$new_enough" 2>/dev/null && .venv/bin/python -m pip --version >/dev/null 2>&1; then
  exit 0
fi

found=
for name in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python; do
  if "$name" -c "$new_enough" 2>/dev/null; then
    found=$name
    break
  fi
  if [ "$name" = "${PYTHON:-}" ]; then
    echo "PYTHON is $name, which is no Python 3.11 or newer." >&2
    echo "Set it to another Python, or unset it." >&2
    exit 1
  fi
done
if [ -z "$found" ]; then
  echo "SpeculatoViz needs Python 3.11 or newer, and python3 is $(python3 --version 2>/dev/null || echo missing)." >&2
  echo "Install it and run make again, with PYTHON=/path/to/python if it has another name." >&2
  exit 1
fi
if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "$("$found" --version) lacks the modules that create environments." >&2
  echo "Install them (Debian, Ubuntu: apt-get install python3-venv) and run make again." >&2
  exit 1
fi
echo "making .venv with $("$found" --version)"
"$found" -m venv --clear .venv
