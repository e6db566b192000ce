#!/bin/sh
# Regenerates the committed bindings from the headers: regenerate.sh [SOURCE_ROOT]
# Needs jextract on PATH. The CUDA headers are taken from $CUDA_HOME/include; without them the bindings
# of the CUDA runtime stay as they are.
set -eu
cd "$(dirname "$0")"
root=${1:-../src/main/java}
cuda=${CUDA_HOME:-/usr/local/cuda}/include
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v jextract >/dev/null || { echo "regenerate.sh: no jextract on PATH" >&2; exit 1; }

# generate PACKAGE HEADER_CLASS ARGUMENT_FILE HEADER INCLUDE_DIR
# No --library: symbols are looked up in what the bindings' class loader has loaded (NativeLibraries).
# jextract never deletes, so it writes into an empty folder that then replaces the old package.
generate() {
  jextract --include-dir "$5" --target-package "io.quern.bindings.$1" --header-class-name "$2" \
    --output "$work" "@$3" "$4"
  mkdir -p "$root/io/quern/bindings"
  rm -rf "$root/io/quern/bindings/$1"
  mv "$work/io/quern/bindings/$1" "$root/io/quern/bindings/$1"
}

generate quern QuernAbi quern.args quern_abi.h ../../native/include
generate cublas Cublas cublas.args quern_cublas.h . # declares what is needed itself
if [ -f "$cuda/cuda_runtime_api.h" ]; then
  generate cudart CudaRuntime cudart.args quern_cudart.h "$cuda"
else
  echo "regenerate.sh: no CUDA headers in $cuda (set CUDA_HOME): cudart left as it is" >&2
fi
