package io.quern.op;

/** Where {@link KvCompaction} finds the cache row of a tree's node. Ordinals are the C ABI's. */
public enum CacheAddressing {
  /** Each request has rows of its own, and node i is row {@code lengths[b] + i} of them. */
  CONTIGUOUS,
  /** All requests share the rows, and node i is in row {@code slots[offsets[b] + i]}. */
  SLOTS,
  /**
   * All requests share the rows, and node i is in row {@code slots[tableRows[b], lengths[b] + i]}.
   */
  TABLE
}
