#!/bin/sh
# Install the Python packages of one lock into .venv: dependencies.sh build | run | llamacpp | dev | extras
# `run` includes a runtime for GGUF files: ik_llama.cpp, whose package comes compiled, if it is there for this machine,
# otherwise llama.cpp. `llamacpp` compiles llama.cpp once; pip keeps the result in its wheel cache.
set -eu
cd "$(dirname "$0")/.."
lock=$1

pip_install() { .venv/bin/python -m pip install --disable-pip-version-check "$@"; }

has() { .venv/bin/python -c "import importlib.metadata as m; m.version('$1')" 2>/dev/null; }

install() { # install FILE ARGUMENTS…
  file=$1
  shift
  pip_install --require-hashes "$@" -r "$file" && return
  echo "The packages of requirements/$lock.txt could not be installed; the reason is in the output of pip above." >&2
  echo "If the network failed, run make again: what is installed already is kept." >&2
  exit 1
}

# The part of the lock of the GGUF runtimes that is (1) or is not (0) ik_llama.cpp's package.
part() { awk -v wanted="$1" '/^[a-z]/ { own = /^ik-llama-cpp-python==/ } own + 0 == wanted' requirements/gguf.txt; }

# Fails if there is no wheel for this machine, or its kernels cannot run here: they need AVX2. Without a wheel pip would
# try to compile the package, and that fails.
install_ik() {
  grep -qs '^flags.* avx2' "${CPUINFO:-/proc/cpuinfo}" || return 1
  part 1 | pip_install --quiet --require-hashes --no-deps --only-binary :all: -r /dev/stdin 2>/dev/null || return 1
  has ik_llama_cpp_python
}

install_llamacpp() {
  lock=gguf
  if ! has llama_cpp_python &&
    [ -z "$(.venv/bin/python -m pip cache list llama_cpp_python --format abspath 2>/dev/null)" ]; then
    scripts/need.sh compiler
    echo "Compiling llama.cpp. This takes about five minutes on two cores, and pip keeps the result for later installs."
  fi
  CMAKE_ARGS=${CMAKE_ARGS:-$(scripts/llama_cmake_args.sh)}
  CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
  export CMAKE_ARGS CMAKE_BUILD_PARALLEL_LEVEL
  part 0 | install /dev/stdin
}

case $lock in
run)
  install requirements/run.txt
  if install_ik; then
    echo "GGUF models run on ik_llama.cpp, which needs no compiler. For trained heads and GPUs, \`make llamacpp\` adds llama.cpp."
  else
    echo "ik_llama.cpp does not come compiled for this machine: GGUF models run on llama.cpp."
    install_llamacpp
  fi
  ;;
llamacpp) install_llamacpp ;;
extras)
  if [ "$(uname -s)" = Linux ]; then
    install requirements/extras.txt --quiet --no-deps
    pip_install --quiet torch==2.13.0
  else # the lock is for Linux: on other systems MLX has other packages
    pip_install --quiet --editable '.[mlx,hf,lab,ray]'
  fi
  ;;
*) install "requirements/$lock.txt" --quiet ;;
esac
