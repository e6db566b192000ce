#!/bin/sh
# Makes docs/benchmarks.md and docs/benchmarks of the results beside this file: run it from anywhere after a build.
# Of files that have the same case, the last one named is shown.
set -eu
cd "$(dirname "$0")/../.."
java=${JAVA_HOME:-$(ls -d /usr/lib/jvm/*25* | head -n 1)}/bin/java
rm -rf docs/benchmarks
"$java" --add-modules jdk.incubator.vector -jar bench/target/quern-bench.jar report \
  bench/results/xeon-amx-2cores-2026-11-23-t2.jsonl \
  bench/results/xeon-amx-2cores-2026-11-23-t1.jsonl \
  bench/results/xeon-amx-2cores-2026-11-26-t1-quick.jsonl \
  bench/results/xeon-amx-2cores-2026-11-26-t1-families.jsonl \
  bench/results/xeon-amx-2cores-2026-11-26-t2-ponet.jsonl \
  bench/results/xeon-amx-2cores-2026-11-26-t2-merging.jsonl \
  bench/results/xeon-amx-2cores-2026-11-26-t1-ponet.jsonl \
  bench/results/xeon-amx-2cores-2026-11-26-t1-ponet-lengths.jsonl \
  bench/results/xeon-amx-2cores-2026-11-26-t1-merging.jsonl \
  --notes bench/results/notes.jsonl --appendix bench/results/appendix.md \
  --out docs/benchmarks --markdown docs/benchmarks.md
