#!/bin/sh
# Print the CMAKE_ARGS for building llama-cpp-python on this machine.
# llama.cpp's AMX kernels can execute an illegal instruction (ggml-org/llama.cpp pull request 26954). On processors
# with AMX the build therefore lists the other instruction sets instead of enabling all of them.
args="-DLLAVA_BUILD=OFF"
if grep -qs '^flags.*amx_int8' /proc/cpuinfo; then
  args="$args -DGGML_NATIVE=OFF -DGGML_AVX512=ON -DGGML_AVX512_VBMI=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON"
fi
echo "$args"
