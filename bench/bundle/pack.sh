#!/bin/sh
# pack.sh OUT JAR [GOLDEN]: makes OUT, a folder that runs on a machine without Java (mvn -Pbundle calls it).
#   JAR     the jar of the benchmarks; the jars of its class path are packed as well
#   GOLDEN  folder of golden vectors, packed if it is there
# JAVA_HOME names a JDK 25 to link the runtime from; else it is looked for in /usr/lib/jvm.
set -eu
out=$1 jar=$2 golden=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
modules=java.base,java.logging,java.management,java.xml,jdk.incubator.vector,jdk.jfr,jdk.management,jdk.unsupported,jdk.zipfs

jdk=
for home in "${JAVA_HOME:-}" /usr/lib/jvm/*25*; do
  if [ -x "$home/bin/jlink" ] && grep -q '^JAVA_VERSION="25' "$home/release" 2>/dev/null; then jdk=$home; break; fi
done
[ -n "$jdk" ] || { echo "pack.sh: no JDK 25 with jlink in JAVA_HOME or /usr/lib/jvm" >&2; exit 1; }

rm -rf "$out"
mkdir -p "$out/jars"
cp "$here/run.sh" "$out/"
cp "$jar" "$out/jars/"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && "$jdk/bin/jar" --extract --file "$jar" META-INF/MANIFEST.MF)
# Long lines are folded: a line that begins with a space goes on.
entries=$(tr -d '\r' <"$work/META-INF/MANIFEST.MF" | sed -e ':a' -e 'N' -e '$!ba' -e 's/\n //g' | sed -n 's/^Class-Path: //p')
for entry in $entries; do cp "$(dirname "$jar")/$entry" "$out/jars/"; done

# Classes uncompressed inside, xz outside: a third smaller than the other way round. Linking takes a minute, so what
# was linked is kept beside the folder until the JDK or the modules change.
key=$(printf '%s %s' "$modules" "$(cat "$jdk/release")" | cksum | tr ' ' -)
kept=$out.jre-$key.tar.xz
if [ ! -f "$kept" ]; then
  "$jdk/bin/jlink" --add-modules "$modules" --strip-debug --no-header-files --no-man-pages --compress zip-0 --output "$work/jre"
  tar -C "$work" -cf - jre | xz -T0 -6 >"$kept.part"
  mv "$kept.part" "$kept"
fi
cp "$kept" "$out/jre.tar.xz"
size() { du -s --apparent-size --block-size=1K "$out" | cut -f1; }
bare=$(size)
if [ -d "$golden" ]; then
  tar -C "$(dirname "$golden")" --transform "s,^$(basename "$golden"),golden," -cf - "$(basename "$golden")" | xz -T0 -6 >"$out/golden.tar.xz"
fi
all=$(size)
echo "$out: $((bare / 1024)) MiB, with golden vectors $((all / 1024)) MiB"
# What a GPU machine takes; peers are larger and have no limit.
if ! ls "$out/jars" | grep -q pytorch; then
  [ "$bare" -le $((40 * 1024)) ] || { echo "pack.sh: over 40 MiB without golden vectors" >&2; exit 1; }
  [ "$all" -le $((64 * 1024)) ] || { echo "pack.sh: over 64 MiB" >&2; exit 1; }
fi
