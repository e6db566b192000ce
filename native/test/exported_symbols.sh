#!/bin/sh
# exported_symbols.sh LIBRARY HEADER...: the library exports what the headers declare with QUERN_API, nothing else.
set -eu
library=$1
shift
declared=$(cat "$@" | grep -v '^#' | tr '\n' ' ' | grep -o 'QUERN_API [^(;]*(' | sed 's/ *($//; s/.*[ *]//' | sort)
exported=$(nm -D --defined-only "$library" | awk '{print $NF}' | sort)
if [ "$declared" = "$exported" ]; then
  echo "$(echo "$exported" | wc -l) symbols"
  exit 0
fi
# Each line once in both lists, or alone.
for symbol in $declared; do
  echo "$exported" | grep -qx "$symbol" || echo "declared but not exported: $symbol"
done
for symbol in $exported; do
  echo "$declared" | grep -qx "$symbol" || echo "exported but not declared: $symbol"
done
exit 1
