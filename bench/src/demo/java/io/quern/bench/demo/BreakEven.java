package io.quern.bench.demo;

import ai.onnxruntime.OrtException;
import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.Combine;
import io.quern.op.MergeScheme;
import io.quern.op.TokenMatch;
import io.quern.op.TokenMerge;
import io.quern.op.TokenUnmerge;
import java.io.PrintStream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;

/**
 * From when on merging pays: what match and merge cost, against what the products of one later
 * block cost less.
 */
final class BreakEven {
  private static final int METRIC = 64;
  private static final int[] TOKENS = {64, 197, 577, 1024, 4096};
  private static final int[] BATCHES = {1, 8};

  /** Larger calls are left out: they say what the smaller ones say. */
  private static final int MOST_ROWS = 5000;

  private static final int REPEATS = 15;
  private static final int GRID_DIM = 320;
  private static final int GRID_HEADS = 8;

  private BreakEven() {}

  static double leastSeconds(int repeats, Runnable work) {
    double least = Double.POSITIVE_INFINITY;
    for (int i = 0; i < repeats; i++) {
      long start = System.nanoTime();
      work.run();
      least = Math.min(least, (System.nanoTime() - start) * 1e-9);
    }
    return least;
  }

  /** Prints the tables. */
  static void print(Device device, BlockProducts products, PrintStream out) throws OrtException {
    out.printf(
        "ToMe in a block of %d, keys of %d, f32, one thread, %s: match and merge against the"
            + " products of a later block%n",
        VisionTrunk.DIM, METRIC, device.name());
    out.println(
        "    N  batch     r  match+merge µs  block ms  saved ms per block  pays after blocks  least r");
    for (int tokens : TOKENS) {
      for (int batch : BATCHES) {
        if (batch * tokens > MOST_ROWS) {
          continue;
        }
        double linear = products.projections(batch, tokens) + products.mlp(batch, tokens);
        double square = products.scores(batch, tokens);
        for (int r : new int[] {tokens / 25, tokens / 12, tokens / 4, (tokens - 1) / 2}) {
          double left = (double) (tokens - r) / tokens;
          double saved = linear * (1 - left) + square * (1 - left * left);
          double cost = tome(device, batch, tokens, r);
          out.printf(
              Locale.ROOT,
              "%5d  %5d  %4d  %14.0f  %8.2f  %18.3f  %17.2f  %7d%n",
              tokens,
              batch,
              r,
              cost * 1e6,
              (linear + square) * 1e3,
              saved * 1e3,
              cost / saved,
              leastMerges(cost, linear, square, tokens));
        }
      }
    }
  }

  /** The fewest merges whose cost one later block saves, whatever their number costs. */
  private static int leastMerges(double cost, double linear, double square, int tokens) {
    for (int r = 1; r < tokens / 2; r++) {
      double left = (double) (tokens - r) / tokens;
      if (linear * (1 - left) + square * (1 - left * left) > cost) {
        return r;
      }
    }
    return tokens / 2; // not even these
  }

  /** Prints the table of ToMeSD, which matches, merges and unmerges around every attention. */
  static void printGrids(Device device, PrintStream out) throws OrtException {
    out.printf(
        "ToMeSD around an attention of %d, r = N/2, f32, one thread, %s%n",
        GRID_DIM, device.name());
    out.println(" grid  batch  match+merge+unmerge ms  attention ms  merged ms  times as fast");
    try (BlockProducts products = new BlockProducts(GRID_DIM, GRID_HEADS)) {
      for (int side : new int[] {16, 32, 64, 96}) {
        int tokens = side * side;
        double linear = products.projections(1, tokens);
        double square = products.scores(1, tokens);
        double cost = grid(device, side, tokens / 2);
        double merged = linear / 2 + square / 4;
        out.printf(
            Locale.ROOT,
            "%2d×%2d  %5d  %22.2f  %12.2f  %9.2f  %13.2f%n",
            side,
            side,
            1,
            cost * 1e3,
            (linear + square) * 1e3,
            merged * 1e3,
            (linear + square) / (merged + cost));
      }
    }
  }

  private static double tome(Device device, int batch, int tokens, int r) {
    var match = TokenMatch.Spec.bipartite(DType.F32, tokens, METRIC, true, false, r);
    long left = match.mergedTokens();
    var merge = TokenMerge.Spec.of(DType.F32, tokens, left, VisionTrunk.DIM, Combine.WEIGHTED_MEAN);
    try (Memory memory = new Memory(device)) {
      TokenMatch matching = TokenMatch.plan(device, match);
      TokenMerge merging = TokenMerge.plan(device, merge);
      Buffer slot = memory.allocate(DType.I32, match.slotShape(batch));
      var matched =
          TokenMatch.Operands.of(memory.random(match.metricShape(batch)), slot)
              .withWorkspace(memory.scratch(matching.workspaceBytes(batch)));
      var merged =
          TokenMerge.Operands.of(
                  memory.random(Shape.of(batch, tokens, VisionTrunk.DIM)),
                  slot,
                  memory.allocate(DType.F32, merge.outputShape(batch)))
              .withSizes(null, memory.allocate(DType.F32, Shape.of(batch, left)));
      return leastSeconds(
          REPEATS,
          () -> {
            matching.run(memory.stream, matched);
            merging.run(memory.stream, merged);
            memory.stream.synchronize();
          });
    }
  }

  private static double grid(Device device, int side, int r) {
    int tokens = side * side;
    var match =
        TokenMatch.Spec.grid(DType.F32, GRID_DIM, new MergeScheme.Grid(side, side, 2, 2), r);
    long left = match.mergedTokens();
    var merge = TokenMerge.Spec.of(DType.F32, tokens, left, GRID_DIM, Combine.MEAN);
    try (Memory memory = new Memory(device)) {
      TokenMatch matching = TokenMatch.plan(device, match);
      TokenMerge merging = TokenMerge.plan(device, merge);
      TokenUnmerge unmerging =
          TokenUnmerge.plan(device, TokenUnmerge.Spec.of(DType.F32, left, tokens, GRID_DIM));
      Buffer x = memory.random(Shape.of(1, tokens, GRID_DIM));
      Buffer slot = memory.allocate(DType.I32, match.slotShape(1));
      Buffer y = memory.allocate(DType.F32, merge.outputShape(1));
      var matched =
          TokenMatch.Operands.of(x, slot).withWorkspace(memory.scratch(matching.workspaceBytes(1)));
      var merged = TokenMerge.Operands.of(x, slot, y);
      var unmerged = new TokenUnmerge.Operands(y, slot, memory.allocate(DType.F32, x.shape()));
      return leastSeconds(
          tokens > MOST_ROWS ? 3 : REPEATS,
          () -> {
            matching.run(memory.stream, matched);
            merging.run(memory.stream, merged);
            unmerging.run(memory.stream, unmerged);
            memory.stream.synchronize();
          });
    }
  }

  /** Operands of a call. */
  private static final class Memory implements AutoCloseable {
    private final Device device;
    private final Stream stream;
    private final List<Buffer> owned = new ArrayList<>();

    Memory(Device device) {
      this.device = device;
      this.stream = device.openStream();
    }

    Buffer allocate(DType dtype, Shape shape) {
      Buffer buffer = device.allocate(dtype, shape);
      owned.add(buffer);
      return buffer;
    }

    Buffer scratch(long bytes) {
      return bytes == 0 ? null : allocate(DType.U8, Shape.of(bytes));
    }

    Buffer random(Shape shape) {
      Buffer buffer = allocate(DType.F32, shape);
      SplittableRandom random = new SplittableRandom(shape.size());
      float[] values = new float[Math.toIntExact(shape.size())];
      for (int i = 0; i < values.length; i++) {
        values[i] = (float) random.nextGaussian();
      }
      buffer.copyFrom(MemorySegment.ofArray(values), stream);
      return buffer;
    }

    @Override
    public void close() {
      owned.forEach(Buffer::close);
      stream.close();
    }
  }
}
