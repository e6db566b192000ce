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
  private final long size;

  private Shape(long[] dims) {
    this.dims = dims;
    long product = 1;
    boolean empty = false;
    for (long dim : dims) {
      if (dim < 0) {
        throw new IllegalArgumentException("negative extent in " + text(dims));
      }
      empty |= dim == 0;
    }
    for (long dim : dims) {
      try {
        product = Math.multiplyExact(product, empty ? 1 : dim);
      } catch (ArithmeticException overflow) {
        throw new IllegalArgumentException(
            "more than 2^63 - 1 elements in " + text(dims), overflow);
      }
    }
    this.size = empty ? 0 : product;
  }

  /**
   * A shape of these extents, outermost first.
   *
   * @throws IllegalArgumentException if one is negative or their product exceeds 2^63 − 1
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
    if (last() != 0) {
      return size / last();
    }
    long rows = 1;
    for (int i = 0; i < dims.length - 1; i++) {
      rows *= dims[i];
    }
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
