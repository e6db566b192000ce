#!/bin/sh
# nvcc_report.sh DIR NVCC ARGUMENT...: compiles, and keeps in DIR what can be read about the kernels without a GPU:
# SOURCE.compute_NN.ptx and, of every architecture, what ptxas used (SOURCE.ptxas).
set -u
dir=$1
shift
source=
for argument; do
  case $argument in
    *.cu) source=$(basename "$argument" .cu) ;;
  esac
done

keep=$dir/$source.keep
rm -rf "$keep"
mkdir -p "$keep"
"$@" --keep --keep-dir "$keep" -Xptxas -v 2>"$keep/messages"
status=$?
grep -E '^ptxas info|bytes stack frame' "$keep/messages" >"$dir/$source.ptxas"
grep -vE '^ptxas info|bytes stack frame' "$keep/messages" >&2
mv "$keep"/*.ptx "$dir" 2>/dev/null
rm -rf "$keep"
exit $status
