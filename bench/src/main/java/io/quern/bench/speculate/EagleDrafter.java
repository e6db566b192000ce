package io.quern.bench.speculate;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.CandidateNumbering;
import io.quern.op.DynamicTree;
import io.quern.op.TreeOutputs;
import io.quern.tree.DraftTree;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The best nodes of a beam search with the draft model, chosen on the device (EAGLE-2): the best k
 * tokens after the root, then the best k after each of k beams, level by level.
 */
final class EagleDrafter implements Drafter, AutoCloseable {
  private final NGramModel model;
  private final int nodes;
  private final int k;
  private final int steps;
  private final Stream stream;
  private final DynamicTree plan;
  private final Buffer scores;
  private final Buffer parentList;
  private final Buffer selected;
  private final Buffer parent;
  private final Buffer status;
  private final DynamicTree.Operands operands;

  /**
   * @param nodes of a tree, the root included
   * @param k beams, and candidates of each
   * @param steps levels
   */
  EagleDrafter(Device device, Stream stream, NGramModel model, int nodes, int k, int steps) {
    this.model = model;
    this.nodes = nodes;
    this.k = k;
    this.steps = steps;
    this.stream = stream;
    DynamicTree.Spec spec =
        DynamicTree.Spec.of(nodes, k, steps, CandidateNumbering.FROM_ZERO).withIndices(DType.I32);
    plan = DynamicTree.plan(device, spec);
    scores = device.allocate(DType.F32, Shape.of(1, spec.pool()));
    parentList = device.allocate(DType.I32, Shape.of(1, spec.groups()));
    selected = device.allocate(DType.I32, Shape.of(1, spec.selected()));
    parent = device.allocate(DType.I32, Shape.of(nodes));
    status = device.allocate(DType.I32, Shape.of(1));
    operands =
        DynamicTree.Operands.ofScores(
            scores, parentList, selected, TreeOutputs.of(status).withParent(parent));
  }

  @Override
  public String name() {
    return "EAGLE-2";
  }

  @Override
  public int mostNodes() {
    return nodes;
  }

  @Override
  public DraftTree draft(int[] context) {
    float[] pool = new float[(int) scores.shape().size()];
    int[] tokens = new int[pool.length];
    int[] groupParents = new int[(int) parentList.shape().size()];
    groupParents[0] = -1;
    expand(context, -1, 0, pool, tokens, groupParents);
    int[] beams = new int[k]; // candidates that are expanded next: at first all of the root's
    Arrays.setAll(beams, i -> i);
    int level = k; // where the level begins that they make
    for (int step = 1; step < steps; step++) {
      for (int i = 0; i < k; i++) {
        int group = level / k + i;
        groupParents[group] = beams[i];
        expand(context, beams[i], level + i * k, pool, tokens, groupParents);
      }
      int[] best = Candidates.of(Arrays.copyOfRange(pool, level, level + k * k), k).tokens();
      for (int i = 0; i < k; i++) {
        beams[i] = level + best[i];
      }
      level += k * k;
    }
    scores.copyFrom(MemorySegment.ofArray(pool), stream);
    parentList.copyFrom(MemorySegment.ofArray(groupParents), stream);
    plan.run(stream, operands);
    int[] parents = new int[nodes];
    int[] chosen = new int[nodes - 1];
    int[] found = new int[1];
    parent.copyTo(MemorySegment.ofArray(parents), stream);
    selected.copyTo(MemorySegment.ofArray(chosen), stream);
    status.copyTo(MemorySegment.ofArray(found), stream);
    if (found[0] != 0) {
      throw new IllegalStateException("the tree's status is " + found[0]);
    }
    int[] treeTokens = new int[nodes];
    treeTokens[0] = context[context.length - 1];
    for (int i = 1; i < nodes; i++) {
      treeTokens[i] = tokens[chosen[i - 1]];
    }
    return DraftTree.of(parents).withTokens(treeTokens);
  }

  /** Scores the best k tokens after a candidate, or after the root, from element {@code to} on. */
  private void expand(
      int[] context, int candidate, int to, float[] pool, int[] tokens, int[] groupParents) {
    int[] path = {};
    for (int c = candidate; c >= 0; c = groupParents[c / k]) {
      int[] longer = new int[path.length + 1];
      longer[0] = tokens[c];
      System.arraycopy(path, 0, longer, 1, path.length);
      path = longer;
    }
    Candidates best = Candidates.of(model.logProbabilities(Contexts.longer(context, path)), k);
    for (int i = 0; i < k; i++) {
      tokens[to + i] = best.tokens()[i];
      pool[to + i] = best.logProbs()[i] + (candidate < 0 ? 0 : pool[candidate]);
    }
  }

  @Override
  public void close() {
    for (Buffer buffer : new Buffer[] {scores, parentList, selected, parent, status}) {
      buffer.close();
    }
  }
}
