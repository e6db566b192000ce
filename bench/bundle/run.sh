#!/bin/sh
# run.sh probe|verify|test|bench|compare|report|java ARGS...
# Runs Quern from this folder, with the Java that is in it; nothing else needs to be installed but sh, tar and xz
# (or python3 in their place). It is unpacked once, to $QUERN_BUNDLE_TMP or $TMPDIR or /tmp.
#   verify [ARGS]   all golden vectors of this folder, on every back end that is available
#   test [ARGS]     the tests of the operators; ARGS go to JUnit's console
#   java ARGS       the JVM itself
# JAVA_FLAGS adds JVM flags; QUERN_BACKEND=cuda makes that back end required: a skipped test is then a failure.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
at=${QUERN_BUNDLE_TMP:-${TMPDIR:-/tmp}}/quern-bundle-$(id -u)
mkdir -p "$at"

unpack() { # unpack ARCHIVE: prints the folder of its contents
  to=$at/$(basename "$1" .tar.xz)-$(cksum <"$1" | tr ' ' -)
  if [ ! -d "$to" ]; then
    new=$(mktemp -d "$at/new.XXXXXX")
    if command -v xz >/dev/null 2>&1; then tar -C "$new" -xJf "$1"
    else python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="data")' "$1" "$new"; fi
    mv "$new" "$to" 2>/dev/null || rm -rf "$new" # another one was faster
  fi
  printf '%s\n' "$to"
}

if [ $# -eq 0 ]; then sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; fi
what=$1; shift
jre=$(unpack "$here/jre.tar.xz")
jars=$(printf '%s:' "$here"/jars/*.jar)
java() {
  "$jre/jre/bin/java" --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED \
    ${QUERN_BACKEND:+"-Dquern.backend=$QUERN_BACKEND"} ${JAVA_FLAGS:-} -cp "$jars" "$@"
}
case $what in
  probe | bench | compare | report) java io.quern.bench.Main "$what" "$@" ;;
  verify)
    [ -f "$here/golden.tar.xz" ] || { echo "run.sh: this bundle has no golden vectors" >&2; exit 3; }
    golden=$(unpack "$here/golden.tar.xz"); worst=0
    for family in "$golden"/golden/*/; do
      java io.quern.bench.Main verify "$family" "$@" || worst=$?
    done
    exit $worst ;;
  test)
    [ $# -gt 0 ] || set -- --select-package=io.quern.op
    java org.junit.platform.console.ConsoleLauncher execute --disable-banner --disable-ansi-colors --fail-if-no-tests \
      --details=summary "--config=jqwik.database=$at/jqwik-database" "$@" ;;
  java) java "$@" ;;
  *) echo "run.sh: probe, verify, test, bench, compare, report or java, not '$what'" >&2; exit 2 ;;
esac
