package io.quern.internal.scalar;

/**
 * Products of many rows with many: every element is one chain of fma over k ascending, from +0
 * (rule 3).
 */
final class Product {
  private Product() {}

  /** {@code Σ_k a[i + k] · b[j + k]}. */
  static float of(float[] a, int i, float[] b, int j, int depth) {
    float sum = 0;
    for (int k = 0; k < depth; k++) {
      sum = Math.fma(a[i + k], b[j + k], sum);
    }
    return sum;
  }
}
