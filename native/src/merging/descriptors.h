// What launchers of merging make of descriptors, where more than one asks. Host code.
#ifndef QUERN_MERGING_DESCRIPTORS_H_
#define QUERN_MERGING_DESCRIPTORS_H_

#include "core/operand_check.h"
#include "quern/merging.h"

namespace quern {

struct TokenMatchArguments;

// What a scheme makes of a descriptor; the twin of io.quern.op.MergeScheme.
struct MatchPlan {
  int64_t sources = 0;
  int64_t destinations = 0;
  int64_t merges = 0;
  bool selects = false;
  bool identity = false;

  int64_t listed() const { return sources + destinations; }
};

// Keys that are sorted by a block are 2^bits.
inline int sort_bits(int64_t keys) {
  int bits = 0;
  while ((int64_t{1} << bits) < keys) {
    ++bits;
  }
  return bits;
}

MatchPlan plan_of(const quern_token_match_desc& desc);

// Of the keys of the sources, where they are sorted at all.
int sort_bits(const MatchPlan& plan);

// All but operands and workspace, which are null.
TokenMatchArguments match_arguments(const quern_token_match_desc& desc, const MatchPlan& plan);

OperandCheck check(const quern_token_match_desc* desc);
OperandCheck check(const quern_token_merge_desc* desc);

}  // namespace quern

#endif  // QUERN_MERGING_DESCRIPTORS_H_
