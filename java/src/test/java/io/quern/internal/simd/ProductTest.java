package io.quern.internal.simd;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The packed product against one chain of fma an element, and its best rows against a search. */
@Tag("parity")
class ProductTest {
  private static final int[][] SHAPES = {
    {1, 1, 1}, {5, 7, 3}, {12, 32, 16}, {13, 33, 64}, {99, 98, 64}, {200, 300, 5}, {97, 1, 0}
  };

  @Test
  void everyElementIsOneChain() {
    for (int[] shape : SHAPES) {
      int rows = shape[0];
      int columns = shape[1];
      int depth = shape[2];
      Random random = new Random(rows);
      float[] a = values(random, rows * depth);
      float[] b = values(random, columns * depth);
      float[] left = packed(a, rows, depth, Product.ROWS, 0);
      float[] right = packed(b, columns, depth, Product.COLUMNS, Float.NaN);
      int stride = Product.rightPanels(columns) * Product.COLUMNS;
      float[] out = new float[Product.leftPanels(rows) * Product.ROWS * stride];
      Product.multiply(
          left, Product.leftPanels(rows), right, Product.rightPanels(columns), depth, out, stride);
      for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) {
          assertEquals(
              Float.floatToIntBits(chain(a, i, b, j, depth)),
              Float.floatToIntBits(out[i * stride + j]),
              Arrays.toString(shape));
        }
      }
    }
  }

  @Test
  void halfATileIsTheHalfOfATile() {
    int depth = 70;
    Random random = new Random(2);
    float[] left = values(random, Product.ROWS * depth);
    float[] right = values(random, Product.COLUMNS * depth);
    float[] tile = new float[Product.ROWS * Product.COLUMNS];
    float[] half = new float[tile.length];
    Product.tile(left, 0, right, 0, depth, tile, 0, Product.COLUMNS);
    Product.halfTile(left, 0, right, 0, depth, half, 0, Product.COLUMNS);
    for (int i = 0; i < tile.length; i++) {
      if (i % Product.COLUMNS < Species.LANES) {
        assertEquals(Float.floatToIntBits(tile[i]), Float.floatToIntBits(half[i]));
      }
    }
  }

  @Test
  void theFirstOfEqualRowsIsBestAndNaNNever() {
    int rows = 5 * Product.ROWS;
    Random random = new Random(1);
    float[] products = new float[rows * Product.COLUMNS];
    for (int i = 0; i < products.length; i++) {
      products[i] = random.nextInt(8) == 0 ? Float.NaN : random.nextInt(7) - 3;
    }
    float[] factors = new float[rows];
    for (int row = 0; row < rows; row++) {
      factors[row] = random.nextInt(8) == 0 ? Float.NaN : 1 + random.nextInt(2);
    }
    float[] best = new float[Product.COLUMNS];
    int[] index = new int[Product.COLUMNS];
    Arrays.fill(best, Float.NEGATIVE_INFINITY);
    int size = Product.ROWS * Product.COLUMNS;
    for (int row = 0; row < rows; row += Product.ROWS) {
      int at = row * Product.COLUMNS;
      float[] tile = Arrays.copyOfRange(products, at, at + size);
      Product.best(tile, factors, row, row, best, index, 0);
    }
    for (int column = 0; column < Product.COLUMNS; column++) {
      float expected = Float.NEGATIVE_INFINITY;
      int expectedRow = 0;
      for (int row = 0; row < rows; row++) {
        float value = products[row * Product.COLUMNS + column] * factors[row];
        if (value > expected) {
          expected = value;
          expectedRow = row;
        }
      }
      assertEquals(expected, best[column]);
      assertEquals(expectedRow, index[column]);
    }
  }

  private static float[] values(Random random, int count) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  @Test
  void rowsArePackedTogetherAsOneByOne() {
    int depth = 9;
    int pitch = 11;
    float[] rows = values(new Random(3), Product.COLUMNS * pitch);
    for (int width : new int[] {Product.ROWS, Product.COLUMNS}) {
      float[] expected = new float[width * depth];
      for (int row = 0; row < width; row++) {
        Product.pack(rows, row * pitch, depth, expected, row, width);
      }
      float[] packed = new float[width * depth];
      Product.packRows(rows, pitch, depth, packed, 0, width);
      assertEquals(Arrays.toString(expected), Arrays.toString(packed));
    }
  }

  private static float[] packed(float[] rows, int count, int depth, int width, float padding) {
    int panels = Math.ceilDiv(count, width);
    float[] packed = new float[panels * width * depth];
    for (int i = 0; i < panels * width; i++) {
      int at = i / width * width * depth + i % width;
      if (i < count) {
        Product.pack(rows, i * depth, depth, packed, at, width);
      } else {
        Product.fill(padding, depth, packed, at, width);
      }
    }
    return packed;
  }

  private static float chain(float[] a, int i, float[] b, int j, int depth) {
    float sum = 0;
    for (int k = 0; k < depth; k++) {
      sum = Math.fma(a[i * depth + k], b[j * depth + k], sum);
    }
    return sum;
  }
}
