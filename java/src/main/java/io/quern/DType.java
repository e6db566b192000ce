package io.quern;

/** Element types. Ordinals are the numbers of Quern's C ABI. */
public enum DType {
  /** IEEE 754 binary32. */
  F32(4),
  /** IEEE 754 binary16. */
  F16(2),
  /** The upper half of a binary32. */
  BF16(2),
  /** IEEE 754 binary64; storage only, no operator computes in it. */
  F64(8),
  /** Signed 8 bit. */
  I8(1),
  /** Unsigned 8 bit. */
  U8(1),
  /** Signed 16 bit. */
  I16(2),
  /** Unsigned 16 bit. */
  U16(2),
  /** Signed 32 bit. */
  I32(4),
  /** Unsigned 32 bit. */
  U32(4),
  /** Signed 64 bit. */
  I64(8),
  /** Unsigned 64 bit. */
  U64(8),
  /** One byte, 0 or 1. */
  BOOL(1);

  private final int byteSize;

  DType(int byteSize) {
    this.byteSize = byteSize;
  }

  /** Bytes of one element, which is also its alignment. */
  public int byteSize() {
    return byteSize;
  }

  /** Whether operators read and write it as a floating-point value: F32, F16 or BF16. */
  public boolean isFloat() {
    return this == F32 || this == F16 || this == BF16;
  }

  /** Whether operators read it as an index: I32 or I64. */
  public boolean isIndex() {
    return this == I32 || this == I64;
  }
}
