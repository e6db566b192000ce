package io.quern;

import java.util.Arrays;
import java.util.stream.Collectors;
import java.util.stream.LongStream;

/**
 * The extents of a row-major array. A shape of rank 0 has one element. Immutable; its {@link
 * #size()} fits a {@code long}.
 */
public final class Shape {
  private final long[] dims;
  private final long rows;
  private final long size;

  private Shape(long[] dims) {
    this.dims = dims;
    for (long dim : dims) {
      if (dim < 0) {
        throw new IllegalArgumentException("negative extent in " + text(dims));
      }
    }
    this.rows = product(dims, Math.max(0, dims.length - 1));
    this.size = product(dims, dims.length);
  }

  /** Of the first {@code count} extents; 0 if one is 0, however large the others are. */
  private static long product(long[] dims, int count) {
    long product = 1;
    boolean overflow = false;
    for (int i = 0; i < count; i++) {
      if (dims[i] == 0) {
        return 0;
      }
      overflow |= Math.multiplyHigh(product, dims[i]) != 0 || product * dims[i] < 0;
      product *= dims[i];
    }
    if (overflow) {
      throw new IllegalArgumentException("more than 2^63 - 1 elements in " + text(dims));
    }
    return product;
  }

  /**
   * A shape of these extents, outermost first.
   *
   * @throws IllegalArgumentException if one is negative, or {@link #size()} or {@link #rows()}
   *     exceeds 2^63 − 1
   */
  public static Shape of(long... dims) {
    return new Shape(dims.clone());
  }

  /** Number of dimensions. */
  public int rank() {
    return dims.length;
  }

  /** Extent of dimension {@code i}; a negative one counts from the end. */
  public long dim(int i) {
    return dims[i < 0 ? dims.length + i : i];
  }

  /** Number of elements. */
  public long size() {
    return size;
  }

  /** The innermost extent: the elements of a row (1 for rank 0). */
  public long last() {
    return dims.length == 0 ? 1 : dims[dims.length - 1];
  }

  /** The product of all extents but the innermost: the number of rows. */
  public long rows() {
    return rows;
  }

  /** This shape with one more extent at the end. */
  public Shape append(long dim) {
    long[] longer = Arrays.copyOf(dims, dims.length + 1);
    longer[dims.length] = dim;
    return new Shape(longer);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Shape shape && Arrays.equals(dims, shape.dims);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(dims);
  }

  @Override
  public String toString() {
    return text(dims);
  }

  private static String text(long[] dims) {
    return LongStream.of(dims).mapToObj(Long::toString).collect(Collectors.joining(", ", "[", "]"));
  }
}
