#!/bin/sh
# ptx_check.sh WIDE PTX...: reads PTX for what canonical arithmetic and the kernels' contracts forbid.
#
# WIDE lists kernels that must access global memory 16 bytes at a time: an extended regular expression of the name,
# a tab, and "load", "store" or both. Each must fit some kernel.
#
# Arithmetic: add, sub, mul, fma, mad, div, sqrt and rcp of floating point carry .rn (without it the assembler may
# contract them, or they are approximations); nothing is .approx or flushes to zero (.ftz).
#
# Addresses: a product of 32 bits (mul.lo, mad.lo of 32-bit integers, as id * stride is in int) must not reach the
# address of a global access, through whatever moves, additions, shifts and widenings. Products that can be beyond 2^31
# are formed by mul.wide or in 64 bits. Followed by data flow, because the same conversion (cvt.s64.s32, mul.wide by
# the element size) is right for an index and wrong for a product. Loaded values start anew.
set -eu
wide=$1
shift
cat "$@" | c++filt | awk -v wide="$wide" '
function report(message) {
  print kernel ": " message
  bad = 1
}

# Registers named in text, separated by spaces.
function registers(text,    found) {
  found = ""
  while (match(text, /%[a-z]+[0-9]+/)) {
    found = found " " substr(text, RSTART, RLENGTH)
    text = substr(text, RSTART + RLENGTH)
  }
  return found
}

function any_tainted(list,    names, count, i) {
  count = split(list, names, " ")
  for (i = 1; i <= count; ++i) if (names[i] in tainted) return 1
  return 0
}

function finish(    i, j, count, names, changed) {
  if (kernel == "") return
  for (i = 1; i <= expectations; ++i) {
    if (kernel !~ pattern[i]) continue
    fits[i] = 1
    if (needs[i] ~ /load/ && !wide_loads) report("no 16-byte load from global memory")
    if (needs[i] ~ /store/ && !wide_stores) report("no 16-byte store to global memory")
  }
  # Loops carry values backwards: repeat until nothing changes.
  do {
    changed = 0
    for (i = 1; i <= flows; ++i) {
      if (!(product[i] || any_tainted(from[i]))) continue
      count = split(to[i], names, " ")
      for (j = 1; j <= count; ++j) if (!(names[j] in tainted)) { tainted[names[j]] = 1; changed = 1 }
    }
  } while (changed)
  for (i = 1; i <= accesses; ++i) {
    if (any_tainted(address[i])) report("an address from a 32-bit product: " access[i])
  }
}

BEGIN {
  while ((getline line < wide) > 0) {
    if (line ~ /^#/ || line == "") continue
    split(line, part, "\t")
    pattern[++expectations] = part[1]
    needs[expectations] = part[2]
  }
}

/^\.visible \.entry|^\.entry|^\.weak \.entry/ {
  finish()
  kernel = $0
  sub(/^.*\.entry (void )?/, "", kernel)
  sub(/\([^()]*\)?\($/, "", kernel)
  sub(/\($/, "", kernel)
  gsub(/quern::/, "", kernel)
  flows = accesses = wide_loads = wide_stores = 0
  split("", tainted)
  ++kernels
  next
}

kernel != "" && /;[ \t]*$/ {
  text = $0
  gsub(/^[ \t]+|;[ \t]*$/, "", text)
  sub(/^@!?%p[0-9]+[ \t]+/, "", text)
  opcode = text
  sub(/[ \t].*/, "", opcode)
  if (opcode !~ /^[a-z]/) next
  operands = text
  sub(/^[^ \t]+[ \t]*/, "", operands)

  if (opcode ~ /^(add|sub|mul|fma|mad|div|sqrt|rcp)\./ && opcode ~ /\.(f16|f16x2|bf16|bf16x2|f32|f32x2|f64)$/ &&
      opcode !~ /\.rn(\.|$)/) report(opcode " is not rounded to nearest (.rn)")
  if (opcode ~ /\.approx/) report(opcode " is an approximation")
  if (opcode ~ /\.ftz/) report(opcode " flushes to zero")

  if (opcode ~ /^(ld|st|atom|red)\./) {
    if (opcode !~ /\.(param|shared|local|const)/) {
      at = operands
      sub(/^[^\[]*\[/, "", at)
      sub(/\].*/, "", at)
      address[++accesses] = registers(at)
      access[accesses] = text
      if (opcode ~ /\.(v4\.[busf]32|v2\.[busf]64|b128)$/) {
        if (opcode ~ /^ld/) wide_loads = 1
        if (opcode ~ /^st/) wide_stores = 1
      }
    }
    next
  }
  # Destination: the first operand, which may be a list in braces.
  if (operands ~ /^\{/) {
    target = operands
    sub(/\}.*/, "", target)
    rest = operands
    sub(/^[^}]*\}/, "", rest)
  } else {
    target = operands
    sub(/,.*/, "", target)
    rest = operands
    if (!sub(/^[^,]*,/, "", rest)) rest = ""
  }
  to[++flows] = registers(target)
  from[flows] = registers(rest)
  product[flows] = opcode ~ /^(mul|mad)(\.lo|24\.lo)\.[su]32$/
}

END {
  finish()
  for (i = 1; i <= expectations; ++i) {
    if (!(i in fits)) { print "no kernel fits \"" pattern[i] "\""; bad = 1 }
  }
  print kernels + 0 " kernels"
  exit bad || kernels == 0
}'
