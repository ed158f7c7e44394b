#!/bin/sh
# Install the Python packages of one lock into .venv: dependencies.sh build | run | dev | extras
# `run` contains llama-cpp-python, which pip compiles once and keeps in its wheel cache.
set -eu
cd "$(dirname "$0")/.."
lock=$1

install() {
  .venv/bin/python -m pip install --disable-pip-version-check --require-hashes "$@" -r "requirements/$lock.txt" && return
  echo "The packages of requirements/$lock.txt could not be installed; the reason is in the output of pip above." >&2
  echo "If the network failed, run make again: what is installed already is kept." >&2
  exit 1
}

if [ "$lock" = extras ]; then
  if [ "$(uname -s)" = Linux ]; then
    install --quiet --no-deps
    .venv/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
  else # the lock is for Linux: on other systems MLX has other packages
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[mlx,hf]'
  fi
  exit
fi

if [ "$lock" != run ]; then
  install --quiet
  exit
fi

here='import importlib.metadata as m; m.version("llama_cpp_python")'
if ! .venv/bin/python -c "$here" 2>/dev/null &&
  [ -z "$(.venv/bin/python -m pip cache list llama_cpp_python --format abspath 2>/dev/null)" ]; then
  scripts/need.sh compiler
  echo "Compiling llama.cpp. This takes about five minutes on two cores, and pip keeps the result for later installs."
fi
CMAKE_ARGS=${CMAKE_ARGS:-$(scripts/llama_cmake_args.sh)}
CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
export CMAKE_ARGS CMAKE_BUILD_PARALLEL_LEVEL
install
