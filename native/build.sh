#!/bin/sh
# What Maven runs here: `build.sh build DIR VERSION` configures and builds in DIR, `build.sh test DIR BACKEND` runs the
# tests; with BACKEND cuda a test that finds no device fails instead of being skipped.
# Without CMake or a C++ compiler there is nothing to build: one line says so, the jar carries the same line, and the
# rest of Quern builds and runs on the CPU.
set -eu
verb=$1
dir=$2
here=$(dirname "$0")

missing=
command -v "${CXX:-c++}" >/dev/null || missing="a C++ compiler (${CXX:-c++})"
command -v cmake >/dev/null || missing="CMake 3.25 or newer"
if [ -n "$missing" ]; then
  if [ "$verb" = build ]; then
    rm -rf "$dir"
    package=$dir/package/META-INF/quern/linux-x86_64
    mkdir -p "$package"
    echo "built without native code: $missing is not installed" >"$package/absent.txt"
  fi
  echo "native code is skipped: $missing is not installed"
  exit 0
fi

case $verb in
  build)
    generator=
    if [ ! -f "$dir/CMakeCache.txt" ] && command -v ninja >/dev/null; then
      generator=-GNinja
    fi
    cmake -S "$here" -B "$dir" ${generator:+"$generator"} -DQUERN_VERSION="$3" --log-level=NOTICE
    cmake --build "$dir" --parallel "$(getconf _NPROCESSORS_ONLN)"
    ;;
  test)
    QUERN_BACKEND=$3 ctest --test-dir "$dir" --output-on-failure --parallel "$(getconf _NPROCESSORS_ONLN)"
    # ctest does not repeat why a test was skipped.
    grep ' skipped: ' "$dir/Testing/Temporary/LastTest.log" || true
    ;;
  *)
    echo "build.sh: unknown verb $verb" >&2
    exit 2
    ;;
esac
