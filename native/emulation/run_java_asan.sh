#!/bin/sh
# Runs a JVM whose emulated CUDA kernels are checked by AddressSanitizer and UndefinedBehaviorSanitizer:
#   run_java_asan.sh LIBRARY JAVA ARGUMENT...
# LIBRARY is the libquern_emulated.so of a build with QUERN_SANITIZE=address,undefined; JAVA ARGUMENT... is the
# command, to which -Dquern.emulation=LIBRARY is added. A report ends it with a status that is not 0.
#
# First it proves on a seeded fault that a report from inside a JVM arrives, and that there is none without the fault.
set -eu
library=$1
java=$2
shift 2
here=$(dirname "$0")

# The sanitizer's allocator must be in the process before the JVM's first malloc.
preload=$("${CXX:-c++}" -print-file-name=libasan.so)
# The JVM raises and handles these signals itself, on its own stacks, and frees little when it ends.
asan_options=handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:use_sigaltstack=0:detect_leaks=0
ubsan_options=print_stacktrace=1

checked() {
  LD_PRELOAD=$preload ASAN_OPTIONS=$asan_options UBSAN_OPTIONS=$ubsan_options "$java" \
    --enable-native-access=ALL-UNNAMED "-Dquern.emulation=$library" "$@"
}

gather=$here/test/GatherUnderAsan.java
checked "$gather" "$library" 2
if report=$(checked "$gather" "$library" 1 2>&1) || ! echo "$report" | grep -q 'AddressSanitizer: use-after-poison'; then
  echo "$report"
  echo "run_java_asan.sh: a kernel that writes out of bounds was not reported" >&2
  exit 1
fi
checked "$@"
