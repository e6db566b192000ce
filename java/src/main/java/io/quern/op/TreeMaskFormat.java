package io.quern.op;

import io.quern.DType;

/** How {@link TreeMask} writes what a node sees. */
public enum TreeMaskFormat {
  /**
   * Rows [N, columns] of F32, F16, BF16, U8, BOOL, I32 or I64: 1 where visible, else 0. Medusa,
   * EAGLE (no prefix), Token Recycling (I64 with prefix).
   */
  ONE_ZERO,
  /** Rows [N, columns] of F32, F16 or BF16: 0 where visible, else −∞. vLLM's bias. */
  ADDITIVE_INF,
  /**
   * Rows [N, columns] of F32, F16 or BF16: 0 where visible, else the dtype's lowest finite value.
   */
  ADDITIVE_MIN,
  /**
   * Rows [N, words] of U8, U16, U32, U64, I32 or I64, little-endian, of the tree alone: SGLang's
   * bit-packed mode (one U8, U16 or U32 a row; here as many words as wanted), TensorRT-LLM's int32
   * rows.
   */
  BITS,
  /**
   * U8 or BOOL [elements], 1 or 0: n · (p + n) of each request, back to back. SGLang's FULL_MASK,
   * and without prefix lengths its QLEN_ONLY.
   */
  FLAT,
  /**
   * U8 [bytes]: the elements of {@link #FLAT} as bits, lowest first, each request's from a byte of
   * its own on, the last byte filled up with 0. FlashInfer's packed custom mask.
   */
  PACKED;

  /** Whether requests follow each other without rows. */
  public boolean isFlat() {
    return this == FLAT || this == PACKED;
  }

  /** Whether the format has elements of that dtype. */
  public boolean has(DType dtype) {
    return switch (this) {
      case ONE_ZERO ->
          dtype.isFloat() || dtype.isIndex() || dtype == DType.U8 || dtype == DType.BOOL;
      case ADDITIVE_INF, ADDITIVE_MIN -> dtype.isFloat();
      case BITS -> Check.isWord(dtype);
      case FLAT -> dtype == DType.U8 || dtype == DType.BOOL;
      case PACKED -> dtype == DType.U8;
    };
  }
}
