package io.quern.bench.measure;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.Combine;
import io.quern.op.DiffRateBlock;
import io.quern.op.MergeScheme;
import io.quern.op.MergeStep;
import io.quern.op.TokenMatch;
import io.quern.op.TokenMerge;
import io.quern.op.TokenUnmerge;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import java.util.stream.Stream;

/**
 * Steps of token merging as models take them. Tokens come in groups of near equals, as in images,
 * so that what is merged does not hang on the last bit of a similarity.
 */
final class MergeWorkload {
  private static final double CLOSE = 2e-5;

  private MergeWorkload() {}

  static Stream<TimedCase> cases() {
    return Stream.of(
        tome("vit-b-b8", 8, 197, 64, 768, 16).quickly(true),
        tome("vit-b-b64", 64, 197, 64, 768, 16),
        tome("vit-l-336-b8", 8, 577, 64, 1024, 23),
        grid("64x64x320-b2", 2, 64, 320).quickly(true),
        grid("96x96x320-b2", 2, 96, 320),
        gridMatch("64x64x320-b2", 2, 64, 320),
        diffRate("vit-b-layer2-b8", 8, 197, 768, 12, 192, 178).quickly(true));
  }

  /** Match by keys, merge weighted by size. */
  private static TimedCase tome(
      String shape, int batch, int tokens, int metricDim, int dim, int r) {
    return TimedCase.of(
        "token_match",
        "tome-" + shape,
        memory -> {
          Shape sizes = Shape.of(batch, tokens);
          long merged = tokens - r;
          var match = TokenMatch.Spec.bipartite(DType.F32, tokens, metricDim, true, false, r);
          var merge = TokenMerge.Spec.of(DType.F32, tokens, merged, dim, Combine.WEIGHTED_MEAN);
          Workload workload =
              new Workload(memory, "token_match", "tome-" + shape)
                  .with("batch", batch)
                  .with("tokens", tokens)
                  .with("metric", metricDim)
                  .with("dim", dim)
                  .with("r", r)
                  .bytes(4L * batch * (tokens * (long) metricDim + (tokens + merged) * dim))
                  .input(
                      "metric",
                      DType.F32,
                      match.metricShape(batch),
                      groups(memory, batch, tokens, metricDim, n -> n / 2))
                  .input(
                      "x",
                      DType.F32,
                      Shape.of(batch, tokens, dim),
                      groups(memory, batch, tokens, dim, n -> n / 2))
                  .input("size", DType.F32, sizes, ones(memory, batch * tokens));
          workload.output("out", DType.F32, merge.outputShape(batch));
          workload.output("sizeOut", DType.F32, Shape.of(batch, merged));
          for (String peer : new String[] {"tome_step", "tome_step_tuned"}) {
            workload.peer(
                Peer.torch(peer, "metric", "x", "size", (long) r)
                    .returning("out", "sizeOut")
                    .within(CLOSE, CLOSE));
          }
          return workload.runs(
              place -> {
                MergeStep step = MergeStep.plan(place.device(), new MergeStep.Spec(match, merge));
                var operands =
                    MergeStep.Operands.of(
                            place.inputs("metric").getFirst(),
                            place.inputs("x").getFirst(),
                            place.scratch(DType.I32, sizes),
                            place.output("out"))
                        .withSizes(place.inputs("size").getFirst(), place.output("sizeOut"))
                        .withWorkspace(scratch(place, step.workspaceBytes(batch)));
                return set -> step.run(place.stream(), operands);
              });
        });
  }

  /** Match, merge and unmerge by the features themselves. */
  private static TimedCase grid(String shape, int batch, int side, int dim) {
    return TimedCase.of(
        "token_match",
        "grid-" + shape,
        memory -> {
          int tokens = side * side;
          int r = tokens / 2;
          long merged = tokens - r;
          var grid = new MergeScheme.Grid(side, side, 2, 2);
          var match = TokenMatch.Spec.grid(DType.F32, dim, grid, r);
          var merge = TokenMerge.Spec.of(DType.F32, tokens, merged, dim, Combine.MEAN);
          var unmerge = TokenUnmerge.Spec.of(DType.F32, merged, tokens, dim);
          Shape all = Shape.of(batch, tokens, dim);
          Workload workload =
              new Workload(memory, "token_match", "grid-" + shape)
                  .with("batch", batch)
                  .with("side", side)
                  .with("dim", dim)
                  .with("r", r)
                  .bytes(4L * batch * dim * (2L * tokens + 2 * merged + tokens))
                  .flops(2L * batch * (tokens - tokens / 4) * (tokens / 4) * dim)
                  .input(
                      "x",
                      DType.F32,
                      all,
                      groups(
                          memory,
                          batch,
                          tokens,
                          dim,
                          n -> n / side / 2 * (side / 2) + n % side / 2));
          workload.output("out", DType.F32, all);
          for (String peer : new String[] {"grid_step", "grid_step_tuned"}) {
            workload.peer(
                Peer.torch(peer, "x", (long) side, (long) side, (long) r)
                    .returning("out")
                    .within(CLOSE, CLOSE));
          }
          return workload.runs(
              place -> {
                TokenMatch matching = TokenMatch.plan(place.device(), match);
                TokenMerge merging = TokenMerge.plan(place.device(), merge);
                TokenUnmerge unmerging = TokenUnmerge.plan(place.device(), unmerge);
                Buffer x = place.inputs("x").getFirst();
                Buffer slot = place.scratch(DType.I32, match.slotShape(batch));
                Buffer y = place.scratch(DType.F32, merge.outputShape(batch));
                var matched =
                    TokenMatch.Operands.of(x, slot)
                        .withWorkspace(scratch(place, matching.workspaceBytes(batch)));
                var mergedTokens = TokenMerge.Operands.of(x, slot, y);
                var unmerged = new TokenUnmerge.Operands(y, slot, place.output("out"));
                return set -> {
                  matching.run(place.stream(), matched);
                  merging.run(place.stream(), mergedTokens);
                  unmerging.run(place.stream(), unmerged);
                };
              });
        });
  }

  /** The match of a grid alone, which is nearly all of its arithmetic. */
  private static TimedCase gridMatch(String shape, int batch, int side, int dim) {
    return TimedCase.of(
        "token_match",
        "grid-match-" + shape,
        memory -> {
          int tokens = side * side;
          var grid = new MergeScheme.Grid(side, side, 2, 2);
          var match = TokenMatch.Spec.grid(DType.F32, dim, grid, tokens / 2);
          Shape perToken = match.slotShape(batch);
          Workload workload =
              new Workload(memory, "token_match", "grid-match-" + shape)
                  .with("batch", batch)
                  .with("side", side)
                  .with("dim", dim)
                  .bytes(4L * batch * tokens * (dim + 2L))
                  .flops(2L * batch * (tokens - tokens / 4) * (tokens / 4) * dim)
                  .input(
                      "x",
                      DType.F32,
                      Shape.of(batch, tokens, dim),
                      groups(memory, batch, tokens, dim, n -> n / 4));
          workload.output("slot", DType.I32, perToken);
          workload.output("similarity", DType.F32, perToken);
          return workload.runs(
              place -> {
                TokenMatch matching = TokenMatch.plan(place.device(), match);
                var operands =
                    TokenMatch.Operands.of(place.inputs("x").getFirst(), place.output("slot"))
                        .withOutputs(place.output("similarity"), null)
                        .withWorkspace(scratch(place, matching.workspaceBytes(batch)));
                return set -> matching.run(place.stream(), operands);
              });
        });
  }

  private static TimedCase diffRate(
      String shape, int batch, int tokens, int dim, int heads, int prune, int keep) {
    return TimedCase.of(
        "diffrate_block",
        shape,
        memory -> {
          var spec = DiffRateBlock.Spec.of(DType.F32, tokens, dim, heads, prune, keep);
          Shape perToken = Shape.of(batch, tokens);
          Shape attention = Shape.of(batch, heads, tokens);
          Workload workload =
              new Workload(memory, "diffrate_block", shape)
                  .with("batch", batch)
                  .with("tokens", tokens)
                  .with("dim", dim)
                  .with("prune", prune)
                  .with("keep", keep)
                  .bytes(4L * batch * dim * (2L * prune + keep))
                  .input(
                      "x",
                      DType.F32,
                      Shape.of(batch, tokens, dim),
                      groups(memory, batch, tokens, dim, n -> n / 3))
                  .input(
                      "attention", DType.F32, attention, descending(memory, batch, heads, tokens))
                  .input("size", DType.F32, perToken, ones(memory, batch * tokens));
          workload.output("out", DType.F32, Shape.of(batch, keep, dim));
          workload.output("sizeOut", DType.F32, Shape.of(batch, keep));
          for (String peer : new String[] {"diffrate_block", "diffrate_block_tuned"}) {
            workload.peer(
                Peer.torch(peer, "x", "attention", "size", (long) prune, (long) keep)
                    .returning("out", "sizeOut")
                    .within(CLOSE, CLOSE));
          }
          return workload.runs(
              place -> {
                DiffRateBlock plan = DiffRateBlock.plan(place.device(), spec);
                DiffRateBlock.Call call =
                    plan.call(
                        new DiffRateBlock.Operands(
                            place.inputs("x").getFirst(),
                            place.inputs("attention").getFirst(),
                            place.inputs("size").getFirst(),
                            place.scratch(DType.I32, perToken),
                            place.scratch(DType.I32, perToken),
                            place.scratch(DType.F32, perToken),
                            place.output("out"),
                            place.output("sizeOut"),
                            scratch(place, plan.workspaceBytes(batch))));
                return set -> call.run(place.stream());
              });
        });
  }

  private static Buffer scratch(Placement place, long bytes) {
    return bytes == 0 ? null : place.scratch(DType.U8, Shape.of(bytes));
  }

  private interface Group {
    int of(int token);
  }

  /** Tokens of a group share a direction, each at its own distance from it. */
  private static MemorySegment groups(
      SegmentAllocator memory, int batch, int tokens, int dim, Group group) {
    MemorySegment rows = memory.allocate((long) batch * tokens * dim * Float.BYTES, 64);
    for (int b = 0; b < batch; b++) {
      for (int n = 0; n < tokens; n++) {
        SplittableRandom direction = new SplittableRandom(((long) b << 32) + group.of(n));
        SplittableRandom own = new SplittableRandom(~(((long) b << 32) + n));
        double distance = own.nextDouble(0.1, 0.9);
        for (int k = 0; k < dim; k++) {
          float value = (float) (direction.nextGaussian() + distance * own.nextGaussian());
          rows.setAtIndex(ValueLayout.JAVA_FLOAT, ((long) b * tokens + n) * dim + k, value);
        }
      }
    }
    return rows;
  }

  /** Importances far enough apart that no order of additions changes theirs. */
  private static MemorySegment descending(
      SegmentAllocator memory, int batch, int heads, int tokens) {
    MemorySegment rows = memory.allocate((long) batch * heads * tokens * Float.BYTES, 64);
    for (int b = 0; b < batch; b++) {
      for (int n = 0; n < tokens; n++) {
        int place = (n * 89 + b * 31) % tokens; // another order for each batch row
        for (int h = 0; h < heads; h++) {
          float value = (1 + place + 0.01f * h) / tokens;
          rows.setAtIndex(ValueLayout.JAVA_FLOAT, ((long) b * heads + h) * tokens + n, value);
        }
      }
    }
    return rows;
  }

  private static MemorySegment ones(SegmentAllocator memory, int count) {
    float[] ones = new float[count];
    java.util.Arrays.fill(ones, 1);
    return memory.allocateFrom(ValueLayout.JAVA_FLOAT, ones);
  }
}
