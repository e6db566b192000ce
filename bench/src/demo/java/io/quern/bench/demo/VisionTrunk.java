package io.quern.bench.demo;

import ai.onnxruntime.OrtException;
import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.bench.report.LineChart;
import io.quern.io.CompressionSchedule;
import io.quern.op.DiffRateBlock;
import java.io.PrintStream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;

/**
 * DiffRate's published schedule of ViT-B (DeiT) at 11.5 GFLOPs, walked block by block: features and
 * importances are random, shapes and schedule are the model's, and tokens are pruned and merged as
 * in the model.
 */
final class VisionTrunk {
  private static final CompressionSchedule SCHEDULE =
      new CompressionSchedule(
          List.of(197, 197, 197, 188, 170, 154, 139, 123, 107, 72, 43, 3),
          List.of(197, 197, 192, 178, 158, 145, 127, 111, 94, 50, 35, 3));

  private static final int TOKENS = 197;
  static final int DIM = 768;
  static final int HEADS = 12;
  private static final int BATCH = 8;
  private static final int REPEATS = 20;

  private VisionTrunk() {}

  /** Prints the table and returns the chart. */
  static String walk(Device device, BlockProducts products, PrintStream out) throws OrtException {
    out.printf(
        "DiffRate, ViT-B (DeiT) at 11.5 GFLOPs: %.3f GMAC by the schedule, %.3f without; batch %d,"
            + " one thread, %s%n",
        SCHEDULE.flops(new CompressionSchedule.VisionTransformer(DIM, TOKENS - 1, 16, 1000)) * 1e-9,
        new CompressionSchedule(List.of(), java.util.Collections.nCopies(HEADS, TOKENS))
                .flops(new CompressionSchedule.VisionTransformer(DIM, TOKENS - 1, 16, 1000))
            * 1e-9,
        BATCH,
        device.name());
    out.println(
        "block  tokens  pruned  merged  GMAC/image  of all  products ms  of all  sort+prune+merge µs"
            + "  share");
    SplittableRandom random = new SplittableRandom(1);
    float[] x = new float[BATCH * TOKENS * DIM];
    for (int i = 0; i < x.length; i++) {
      x[i] = (float) random.nextGaussian();
    }
    float[] sizes = new float[BATCH * TOKENS];
    Arrays.fill(sizes, 1);
    int tokens = TOKENS;
    double whole = products.seconds(BATCH, TOKENS, TOKENS);
    double allSeconds = 0;
    double compression = 0;
    List<double[]> scheduled = new ArrayList<>(List.of(new double[] {0, TOKENS}));
    for (int block = 0; block < SCHEDULE.blocks(); block++) {
      int prune = SCHEDULE.prune(block);
      int keep =
          SCHEDULE.prune(block) < SCHEDULE.keep().get(block) ? prune : SCHEDULE.keep().get(block);
      var spec = DiffRateBlock.Spec.of(DType.F32, tokens, DIM, HEADS, prune, keep);
      int left = (int) spec.keptTokens();
      float[] attention = new float[BATCH * HEADS * tokens];
      for (int i = 0; i < attention.length; i++) {
        attention[i] = random.nextFloat() / tokens;
      }
      float[] out1 = new float[BATCH * left * DIM];
      float[] sizesOut = new float[BATCH * left];
      double seconds = compress(device, spec, x, attention, sizes, out1, sizesOut);
      double blockSeconds = products.seconds(BATCH, tokens, left);
      out.printf(
          Locale.ROOT,
          "%5d  %6d  %6d  %6d  %10.3f  %4.0f %%  %11.2f  %4.0f %%  %19.0f  %4.1f %%%n",
          block + 1,
          tokens,
          Math.min(tokens, prune),
          left,
          products.macs(tokens, left) * 1e-9,
          100 * products.macs(tokens, left) / products.macs(TOKENS, TOKENS),
          blockSeconds * 1e3,
          100 * blockSeconds / whole,
          seconds * 1e6,
          100 * seconds / blockSeconds);
      allSeconds += blockSeconds;
      compression += seconds;
      x = out1;
      sizes = sizesOut;
      tokens = left;
      scheduled.add(new double[] {block + 1, left});
    }
    out.printf(
        Locale.ROOT,
        "all blocks: products %.0f ms instead of %.0f, compression %.1f ms: %.2f times as fast%n",
        allSeconds * 1e3,
        whole * SCHEDULE.blocks() * 1e3,
        compression * 1e3,
        whole * SCHEDULE.blocks() / (allSeconds + compression));
    LineChart chart =
        new LineChart("Tokens of ViT-B by DiffRate at 11.5 GFLOPs", "behind block", "tokens");
    chart.line("merged to", scheduled);
    return chart.svg();
  }

  /** Compresses and returns the least seconds it took. */
  private static double compress(
      Device device,
      DiffRateBlock.Spec spec,
      float[] x,
      float[] attention,
      float[] sizes,
      float[] out,
      float[] sizesOut) {
    Shape perToken = Shape.of(BATCH, spec.tokens());
    DiffRateBlock plan = DiffRateBlock.plan(device, spec);
    long bytes = plan.workspaceBytes(BATCH);
    try (Stream stream = device.openStream();
        Buffer tokens = device.allocate(DType.F32, Shape.of(BATCH, spec.tokens(), DIM));
        Buffer importance = device.allocate(DType.F32, Shape.of(BATCH, HEADS, spec.tokens()));
        Buffer size = device.allocate(DType.F32, perToken);
        Buffer order = device.allocate(DType.I32, perToken);
        Buffer slot = device.allocate(DType.I32, perToken);
        Buffer similarity = device.allocate(DType.F32, perToken);
        Buffer left = device.allocate(DType.F32, Shape.of(BATCH, spec.keptTokens(), DIM));
        Buffer sizeOut = device.allocate(DType.F32, Shape.of(BATCH, spec.keptTokens()));
        Buffer workspace = bytes == 0 ? null : device.allocate(DType.U8, Shape.of(bytes))) {
      tokens.copyFrom(MemorySegment.ofArray(x), stream);
      importance.copyFrom(MemorySegment.ofArray(attention), stream);
      size.copyFrom(MemorySegment.ofArray(sizes), stream);
      DiffRateBlock.Call call =
          plan.call(
              new DiffRateBlock.Operands(
                  tokens, importance, size, order, slot, similarity, left, sizeOut, workspace));
      double least =
          BreakEven.leastSeconds(
              REPEATS,
              () -> {
                call.run(stream);
                stream.synchronize();
              });
      left.copyTo(MemorySegment.ofArray(out), stream);
      sizeOut.copyTo(MemorySegment.ofArray(sizesOut), stream);
      return least;
    }
  }
}
