#!/bin/sh
# resources.sh table TABLE REPORT...: a table of what ptxas gave each kernel on each architecture, from its own words.
# resources.sh check TABLE: fails on a table without kernels, and on any kernel that spills registers to memory.
set -eu
verb=$1
shift
case $verb in
  table)
    table=$1
    shift
    cat "$@" | c++filt | awk '
      BEGIN { OFS = "\t"; print "kernel", "arch", "registers", "shared_bytes", "stack_bytes", "spill_stores", "spill_loads" }
      /Compiling entry function/ {
        split($0, quoted, "\047")
        kernel = quoted[2]
        arch = quoted[4]
        sub(/^void /, "", kernel)
        sub(/\([^()]*\)$/, "", kernel)
        gsub(/quern::/, "", kernel)
      }
      /bytes stack frame/ { stack = $1; stores = $5; loads = $9 }
      / Used [0-9]+ registers/ {
        registers = shared = 0
        for (i = 2; i <= NF; ++i) {
          if ($i ~ /^registers/) registers = $(i - 1)
          if ($i ~ /^smem/) shared = $(i - 2)
        }
        print kernel, arch, registers, shared, stack, stores, loads
      }' >"$table"
    ;;
  check)
    awk -F '\t' '
      NR > 1 { ++kernels }
      NR > 1 && $6 + $7 > 0 { print $1 " (" $2 "): spills " $6 " bytes, reloads " $7; bad = 1 }
      END {
        print kernels + 0 " kernels"
        exit bad || kernels == 0
      }' "$1"
    ;;
  *)
    echo "resources.sh: unknown verb $verb" >&2
    exit 2
    ;;
esac
