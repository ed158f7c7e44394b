#!/bin/sh
# Make the environment in .venv, from the Python in PYTHON or the first of the usual names that is new enough.
# An environment that works is left as it is; a broken one, or one of an old Python, is made anew.
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
    echo "PYTHON is $name, which is not a Python of version 3.11 or newer." >&2
    echo "Set it to one that is, or leave it out." >&2
    exit 1
  fi
done
if [ -z "$found" ]; then
  echo "SpeculatoViz needs Python 3.11 or newer, and python3 is $(python3 --version 2>/dev/null || echo missing)." >&2
  echo "Install it and run make again, with PYTHON=/path/to/python if it goes by another name." >&2
  exit 1
fi
if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "$("$found" --version) is here without the parts that make environments." >&2
  echo "Install them (Debian, Ubuntu: apt-get install python3-venv) and run make again." >&2
  exit 1
fi
echo "making .venv with $("$found" --version)"
"$found" -m venv --clear .venv
