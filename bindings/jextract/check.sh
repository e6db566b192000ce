#!/bin/sh
# Fails if the committed bindings are not what regenerate.sh makes of the headers today.
set -eu
cd "$(dirname "$0")"
if ! command -v jextract >/dev/null; then
  echo "check.sh: skipped, no jextract on PATH"
  exit 0
fi
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

./regenerate.sh "$fresh"
for package in "$fresh"/io/quern/bindings/*; do
  diff -r "../src/main/java/io/quern/bindings/$(basename "$package")" "$package" || {
    echo "check.sh: io.quern.bindings.$(basename "$package") is stale; run bindings/jextract/regenerate.sh" >&2
    exit 1
  }
done
echo "check.sh: the committed bindings are up to date"
