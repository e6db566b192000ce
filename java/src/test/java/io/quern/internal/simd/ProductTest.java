package io.quern.internal.simd;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * The product of panels against one chain of fma an element, and its best rows against a search.
 */
@Tag("parity")
class ProductTest {
  private static final int[][] SHAPES = {
    {1, 1, 1},
    {5, 7, 3},
    {12, 32, 16},
    {13, 33, 64},
    {99, 98, 64},
    {200, 300, 5},
    {97, 1, 0},
    {30, 40, 256},
    {14, 35, 700}
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
      float[] left = left(a, rows, depth);
      float[] right = right(b, columns, depth);
      int stride = Product.rightPanels(columns) * Product.COLUMNS;
      float[] out = new float[Product.leftPanels(rows) * Product.ROWS * stride];
      Arrays.fill(out, Float.NaN);
      for (int l = 0; l < Product.leftPanels(rows); l++) {
        for (int r = 0; r < Product.rightPanels(columns); r++) {
          int at = l * Product.ROWS * stride + r * Product.COLUMNS;
          int column = r * Product.COLUMNS * depth;
          Product.tile(left, l * Product.leftPanel(depth), right, column, depth, out, at, stride);
        }
      }
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
    int depth = 300;
    Random random = new Random(2);
    float[] left = values(random, Product.leftPanel(depth));
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

  private static float[] left(float[] rows, int count, int depth) {
    float[] panels = new float[Product.leftPanels(count) * Product.leftPanel(depth)];
    for (int i = 0; i < count; i++) {
      int panel = i / Product.ROWS * Product.leftPanel(depth);
      Product.putLeft(rows, i * depth, depth, panels, panel, i % Product.ROWS);
    }
    return panels;
  }

  private static float[] right(float[] rows, int count, int depth) {
    int width = Product.COLUMNS;
    float[] panels = new float[Product.rightPanels(count) * width * depth];
    int pitch = depth + 3;
    for (int first = 0; first < count; first += width) {
      int n = Math.min(width, count - first);
      float[] staged = new float[width * pitch];
      for (int i = 0; i < n; i++) {
        System.arraycopy(rows, (first + i) * depth, staged, i * pitch, depth);
      }
      Product.packRight(staged, pitch, n, depth, panels, first * depth);
    }
    return panels;
  }

  private static float chain(float[] a, int i, float[] b, int j, int depth) {
    float sum = 0;
    for (int k = 0; k < depth; k++) {
      sum = Math.fma(a[i * depth + k], b[j * depth + k], sum);
    }
    return sum;
  }
}
