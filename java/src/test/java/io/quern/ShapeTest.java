package io.quern;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.util.Arrays;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

class ShapeTest {
  @Test
  void rankZeroHasOneElement() {
    Shape scalar = Shape.of();
    assertEquals(0, scalar.rank());
    assertEquals(1, scalar.size());
    assertEquals(1, scalar.last());
    assertEquals(1, scalar.rows());
    assertEquals(Shape.of(3), scalar.append(3));
  }

  @Test
  void rowsAreAllButTheLastExtent() {
    Shape shape = Shape.of(2, 3, 5);
    assertEquals(6, shape.rows());
    assertEquals(5, shape.last());
    assertEquals(5, shape.dim(-1));
    assertEquals(2, shape.dim(-3));
    assertEquals(6, Shape.of(2, 3, 0).rows());
    assertEquals(0, Shape.of(2, 0, 5).rows());
    assertEquals("[2, 3, 5]", shape.toString());
    assertNotEquals(shape, Shape.of(2, 15));
  }

  @Test
  void extentsAreCopied() {
    long[] dims = {2, 3};
    Shape shape = Shape.of(dims);
    dims[0] = 7;
    assertEquals(Shape.of(2, 3), shape);
    assertEquals(Shape.of(2, 3).hashCode(), shape.hashCode());
  }

  @Test
  void anEmptyShapeMayHaveHugeExtents() {
    Shape shape = Shape.of(Long.MAX_VALUE, Long.MAX_VALUE, 0, 5);
    assertEquals(0, shape.size());
    assertEquals(0, shape.rows());
  }

  /** Rows without elements are counted too. */
  @Test
  void theNumberOfEmptyRowsHasToFit() {
    assertEquals(1L << 62, Shape.of(1L << 31, 1L << 31, 0).rows());
    assertThrows(IllegalArgumentException.class, () -> Shape.of(1L << 40, 1L << 40, 0));
  }

  @Property
  void sizeIsTheProductOrRefused(@ForAll @Size(max = 5) long[] dims) {
    BigInteger product =
        Arrays.stream(dims)
            .mapToObj(BigInteger::valueOf)
            .reduce(BigInteger.ONE, BigInteger::multiply);
    if (Arrays.stream(dims).anyMatch(dim -> dim < 0)) {
      IllegalArgumentException thrown =
          assertThrows(IllegalArgumentException.class, () -> Shape.of(dims));
      assertTrue(thrown.getMessage().startsWith("negative extent in ["), thrown::getMessage);
    } else if (product.bitLength() > 63 || rows(dims).bitLength() > 63) {
      IllegalArgumentException thrown =
          assertThrows(IllegalArgumentException.class, () -> Shape.of(dims));
      assertTrue(thrown.getMessage().startsWith("more than 2^63 - 1 elements in ["));
    } else {
      assertEquals(product.longValueExact(), Shape.of(dims).size());
    }
  }

  private static BigInteger rows(long[] dims) {
    return Arrays.stream(dims)
        .limit(Math.max(0, dims.length - 1))
        .mapToObj(BigInteger::valueOf)
        .reduce(BigInteger.ONE, BigInteger::multiply);
  }
}
