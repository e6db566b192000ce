package io.quern.bench.demo;

import io.quern.Device;
import java.util.List;

/** A drawn landscape in 14 × 14 patches, merged as ToMe merges the patches of an image. */
final class GridScene {
  private static final int SIDE = 14;
  private static final int ROUNDS = 10;
  private static final int R = 16;
  private static final int SHOWN_FIRST = 5;

  /** Weight of a patch's place beside its colour, so that neighbours are somewhat more alike. */
  private static final float PLACE = 0.35f;

  private GridScene() {}

  static String picture(Device device) {
    float[] colours = colours();
    int features = 6;
    float[] metric = new float[SIDE * SIDE * features];
    for (int n = 0; n < SIDE * SIDE; n++) {
      for (int c = 0; c < 3; c++) {
        metric[n * features + c] = colours[n * 3 + c] - 0.5f;
      }
      metric[n * features + 3] = PLACE * (n % SIDE / (SIDE - 1f) - 0.5f);
      metric[n * features + 4] = PLACE * (n / SIDE / (SIDE - 1f) - 0.5f);
      metric[n * features + 5] = PLACE;
    }
    try (DeviceMerge merge = new DeviceMerge(device, colours, metric, SIDE * SIDE)) {
      int[] early = null;
      int between = 0;
      for (int round = 0; round < ROUNDS; round++) {
        merge.merge(R, false);
        if (round + 1 == SHOWN_FIRST) {
          early = merge.groups();
          between = merge.tokens();
        }
      }
      return MergePictures.grid(
          SIDE,
          colours,
          List.of(early, merge.groups()),
          List.of(
              "%d patches".formatted(SIDE * SIDE),
              "%d tokens, after %d layers of r = %d".formatted(between, SHOWN_FIRST, R),
              "%d tokens, after %d".formatted(merge.tokens(), ROUNDS)));
    }
  }

  /** Sky with a sun, two hills, a house with a roof. */
  private static float[] colours() {
    float[] colours = new float[SIDE * SIDE * 3];
    for (int row = 0; row < SIDE; row++) {
      for (int column = 0; column < SIDE; column++) {
        float light = 0.02f * ((row * 7 + column * 3) % 5);
        float[] colour = {0.55f + 0.02f * row, 0.75f, 0.95f};
        boolean sun = Math.hypot(row - 2.0, column - 10.5) < 1.9;
        boolean farHill = row > 8 - 3 * Math.sin(column * 0.35 + 0.4);
        boolean nearHill = row > 10.5 - 2 * Math.sin(column * 0.25 + 2.6);
        boolean house = row >= 8 && row <= 11 && column >= 3 && column <= 6;
        boolean roof = row >= 6 && row < 8 && column >= 9 - row && column <= row;
        if (sun) {
          colour = new float[] {1, 0.85f, 0.3f};
        }
        if (farHill) {
          colour = new float[] {0.45f, 0.6f, 0.5f};
        }
        if (nearHill) {
          colour = new float[] {0.3f, 0.55f, 0.2f};
        }
        if (house) {
          colour = new float[] {0.9f, 0.85f, 0.75f};
        }
        if (roof) {
          colour = new float[] {0.7f, 0.25f, 0.2f};
        }
        for (int c = 0; c < 3; c++) {
          colours[(row * SIDE + column) * 3 + c] = colour[c] - light;
        }
      }
    }
    return colours;
  }
}
