// What launchers of merging make of descriptors, where more than one asks. Host code.
#ifndef QUERN_MERGING_DESCRIPTORS_H_
#define QUERN_MERGING_DESCRIPTORS_H_

#include "core/operand_check.h"
#include "quern/merging.h"

namespace quern {

// The most blocks of a dimension that may be y or z.
constexpr int64_t kManyBlocks = 65535;

struct TokenMatchArguments;
using MatchKernel = void (*)(TokenMatchArguments);

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

// Where each part of the workspace begins, and where it ends.
struct MatchWorkspace {
  int64_t best = 0;
  int64_t keys = 0;
  int64_t norms = 0;
  int64_t lists = 0;
  int64_t index = 0;
  int64_t valid = 0;
  int64_t bytes = 0;
};

MatchWorkspace workspace_of(const quern_token_match_desc& desc, const MatchPlan& plan);

void set_workspace(TokenMatchArguments& arguments, const MatchWorkspace& parts, void* workspace);

// Its first step and its last; the last takes dynamic shared memory.
MatchKernel list_kernel();
MatchKernel place_kernel();
size_t place_shared_bytes(const TokenMatchArguments& arguments);

OperandCheck check(const quern_token_match_desc* desc);
OperandCheck check(const quern_token_merge_desc* desc);

}  // namespace quern

#endif  // QUERN_MERGING_DESCRIPTORS_H_
