package io.quern.op;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;

/**
 * A matrix of random values that is made piece by piece, so that it may be larger than the heap.
 */
public final class RandomRows {
  /**
   * Values are made up to this many and repeat then; a prime, so that no two rows nearby are equal.
   */
  private static final int PERIOD = 1_000_003;

  private static final long BLOCK_BYTES = 4 << 20;

  private final DType dtype;
  private final Shape shape;
  private final MemorySegment period;

  public RandomRows(DType dtype, Shape shape, ValueSet values, long seed) {
    this.dtype = dtype;
    this.shape = shape;
    int size = (int) Math.min(shape.size(), PERIOD);
    this.period =
        MemorySegment.ofArray(new long[Math.ceilDiv(size * dtype.byteSize(), 8)])
            .asSlice(0, (long) size * dtype.byteSize());
    SplittableRandom random = new SplittableRandom(seed);
    for (int i = 0; i < size; i++) {
      int bits = values.next(dtype, random);
      if (dtype == DType.F32) {
        period.setAtIndex(JAVA_INT, i, bits);
      } else {
        period.setAtIndex(JAVA_SHORT, i, (short) bits);
      }
    }
  }

  /** Element type: F32, F16 or BF16. */
  public DType dtype() {
    return dtype;
  }

  /** [rows, dim]. */
  public Shape shape() {
    return shape;
  }

  /** The bits of one element, in the low half where it has 16. */
  public int bits(long row, long column) {
    long i = (row * shape.last() + column) % PERIOD;
    return dtype == DType.F32
        ? period.getAtIndex(JAVA_INT, i)
        : period.getAtIndex(JAVA_SHORT, i) & 0xffff;
  }

  /** Copies all rows into a buffer of this dtype and shape, on any device. */
  public void copyTo(Buffer buffer, Stream stream) {
    long rowBytes = Math.max(1, shape.last() * dtype.byteSize());
    long rowsPerBlock = Math.clamp(BLOCK_BYTES / rowBytes, 1, Math.max(1, shape.rows()));
    MemorySegment block =
        MemorySegment.ofArray(new byte[(int) (shape.size() == 0 ? 0 : rowsPerBlock * rowBytes)]);
    for (long row = 0; row < shape.rows() && shape.size() > 0; row += rowsPerBlock) {
      long rows = Math.min(rowsPerBlock, shape.rows() - row);
      MemorySegment part = block.asSlice(0, rows * rowBytes);
      read(row * shape.last(), part);
      buffer
          .view(row * buffer.rowStride(), Shape.of(rows, shape.last()), buffer.rowStride())
          .copyFrom(part, stream);
    }
  }

  private void read(long first, MemorySegment block) {
    long at = first % PERIOD * dtype.byteSize();
    for (long done = 0; done < block.byteSize(); ) {
      long length = Math.min(block.byteSize() - done, period.byteSize() - at);
      MemorySegment.copy(period, at, block, done, length);
      done += length;
      at = 0;
    }
  }
}
