#!/bin/sh
# Install the Python packages of one lock into .venv: dependencies.sh build | run | dev | extras
# `run` contains llama-cpp-python, which pip compiles once and keeps in its wheel cache.
set -eu
cd "$(dirname "$0")/.."
lock=$1

pip_install() { .venv/bin/python -m pip install --disable-pip-version-check "$@"; }

install() { # install FILE ARGUMENTS…
  file=$1
  shift
  pip_install --require-hashes "$@" -r "$file" && return
  echo "The packages of requirements/$lock.txt could not be installed; the reason is in the output of pip above." >&2
  echo "If the network failed, run make again: what is installed already is kept." >&2
  exit 1
}

# The part of the extras' lock that is (1) or is not (0) ik_llama.cpp's package.
part() { awk -v wanted="$1" '/^[a-z]/ { own = /^ik-llama-cpp-python==/ } own + 0 == wanted' requirements/extras.txt; }

# Where there is no wheel, pip would try to compile the package, and that fails: so it may be missing.
install_ik() {
  part 1 | pip_install --quiet --require-hashes --no-deps --only-binary :all: -r /dev/stdin 2>/dev/null || true
  .venv/bin/python -c 'import importlib.metadata as m; m.version("ik_llama_cpp_python")' 2>/dev/null ||
    echo "The runtime ik is left out: ik_llama.cpp's package is here for x86-64 Linux and Python 3.11 to 3.13 alone."
}

if [ "$lock" = extras ]; then
  if [ "$(uname -s)" = Linux ]; then
    part 0 | install /dev/stdin --quiet --no-deps
    pip_install --quiet torch==2.13.0
  else # the lock is for Linux: on other systems MLX has other packages
    pip_install --quiet --editable '.[mlx,hf]'
  fi
  install_ik
  exit
fi

if [ "$lock" != run ]; then
  install "requirements/$lock.txt" --quiet
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
install "requirements/$lock.txt"
