package io.quern.op;

import io.quern.DType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Token merging once more, written from its documentation on Java arrays. Shares no code with any
 * back end.
 */
final class MergingReference {
  private MergingReference() {}

  /** What {@link TokenMatch} finds in one batch row. */
  private record Match(int[] slot, float[] similarity, int count) {}

  static Outcome match(TokenMatchCases.Case of) {
    TokenMatchCases.Inputs in = of.inputs();
    int tokens = (int) of.spec().tokens();
    int batch = of.batch();
    ByteBuffer slot = bytes(batch * tokens * Integer.BYTES);
    ByteBuffer similarity = bytes(batch * tokens * Float.BYTES);
    ByteBuffer count = bytes(batch * Integer.BYTES);
    for (int b = 0; b < batch; b++) {
      Match match = match(of.spec(), in, b);
      for (int n = 0; n < tokens; n++) {
        slot.putInt(match.slot[n]);
        similarity.putFloat(match.similarity[n]);
      }
      count.putInt(match.count);
    }
    List<Outcome.Output> outputs = new ArrayList<>();
    outputs.add(new Outcome.Output("slot", DType.I32, slot.array()));
    if (of.full()) {
      outputs.add(new Outcome.Output("similarity", DType.F32, similarity.array()));
      outputs.add(new Outcome.Output("count", DType.I32, count.array()));
    }
    return new Outcome(outputs, null);
  }

  private static Match match(TokenMatch.Spec spec, TokenMatchCases.Inputs in, int batch) {
    int tokens = (int) spec.tokens();
    int[] slot = new int[tokens];
    float[] similarity = new float[tokens];
    int limit = in.limits() == null ? Integer.MAX_VALUE : (int) in.limits()[batch];
    if (spec.isIdentity() || limit <= 0) {
      for (int n = 0; n < tokens; n++) {
        slot[n] = n;
        similarity[n] = 1;
      }
      return new Match(slot, similarity, tokens);
    }
    List<Integer> order = new ArrayList<>();
    for (int n = 0; n < tokens; n++) {
      boolean given = in.order() != null && !(spec.scheme() instanceof MergeScheme.Grid);
      order.add(given ? (int) in.order()[batch * tokens + n] : n);
    }
    List<Integer> sources = new ArrayList<>();
    List<Integer> destinations = new ArrayList<>();
    boolean protectsFirst = false; // the first destination
    boolean protectsSource = false; // the first source
    boolean byToken = false;
    boolean distill = false;
    switch (spec.scheme()) {
      case MergeScheme.Bipartite(boolean classToken, boolean distillToken) -> {
        order.forEach(n -> (n % 2 == 0 ? sources : destinations).add(n));
        protectsSource = classToken;
        protectsFirst = distillToken;
        byToken = classToken;
        distill = distillToken;
      }
      case MergeScheme.EveryKth(long k) -> {
        for (int n = 0; n < tokens - tokens % k; n++) {
          (n % k == k - 1 ? destinations : sources).add(n);
        }
      }
      case MergeScheme.Permuted(long merged) -> {
        sources.addAll(order.subList(0, (int) merged));
        destinations.addAll(order.subList((int) merged, tokens));
      }
      case MergeScheme.HeadTail(long prune, long keep, boolean classToken) -> {
        int kept = (int) Math.min(prune, tokens);
        int left = (int) Math.min(keep, kept);
        destinations.addAll(order.subList(0, left));
        sources.addAll(order.subList(left, kept));
        protectsFirst = classToken;
      }
      case MergeScheme.Grid grid -> {
        for (int line = 0; line < grid.height() / grid.strideY(); line++) {
          for (int cell = 0; cell < grid.width() / grid.strideX(); cell++) {
            long offset =
                in.order() == null ? 0 : in.order()[line * (grid.width() / grid.strideX()) + cell];
            int inside =
                offset < 0 || offset >= (long) grid.strideX() * grid.strideY() ? 0 : (int) offset;
            destinations.add(
                (line * grid.strideY() + inside / grid.strideX()) * grid.width()
                    + cell * grid.strideX()
                    + inside % grid.strideX());
          }
        }
        destinations.sort(null);
        order.stream().filter(n -> !destinations.contains(n)).forEach(sources::add);
      }
    }
    if (order.stream().sorted().distinct().filter(n -> n >= 0 && n < tokens).count() != tokens) {
      java.util.Arrays.fill(slot, -1);
      return new Match(slot, similarity, 0);
    }

    int n = sources.size();
    float[] best = new float[n];
    int[] to = new int[n];
    float[][] metric = new float[tokens][];
    float[] inverse = new float[tokens];
    for (int token = 0; token < tokens; token++) {
      metric[token] = row(spec, in.metric(), batch * (long) tokens + token);
      inverse[token] = inverseNorm(metric[token]);
    }
    for (int i = 0; i < n; i++) {
      int first = protectsFirst ? 1 : 0;
      best[i] = Float.NEGATIVE_INFINITY;
      for (int j = first; j < destinations.size(); j++) {
        float value = 0;
        for (int k = 0; k < spec.dim(); k++) {
          value = Math.fma(metric[sources.get(i)][k], metric[destinations.get(j)][k], value);
        }
        value *= inverse[destinations.get(j)];
        if (value > best[i]) {
          best[i] = value;
          to[i] = j;
        }
      }
      best[i] *= inverse[sources.get(i)];
      if (!(best[i] > -2)) {
        best[i] = -2;
        to[i] = first;
      }
    }
    if (protectsSource && n > 0) {
      best[0] = Float.NEGATIVE_INFINITY;
    }
    List<Integer> ranked = new ArrayList<>(IntStream.range(0, n).boxed().toList());
    boolean selects =
        spec.scheme() instanceof MergeScheme.Bipartite || spec.scheme() instanceof MergeScheme.Grid;
    int merged = n;
    if (selects) {
      ranked.sort(
          Comparator.comparing((Integer i) -> -(best[i] + 0.0f) + 0.0f).thenComparing(i -> i));
      merged = 0;
      while (merged < Math.min(limit, spec.merges())
          && best[ranked.get(merged)] > spec.threshold()) {
        merged++;
      }
    }
    List<Integer> mergedSources = ranked.subList(0, merged);
    List<Integer> unmerged = new ArrayList<>(ranked.subList(merged, n));
    if (byToken) {
      unmerged.sort(null);
    }
    List<Integer> rows = new ArrayList<>();
    unmerged.forEach(i -> rows.add(sources.get(i)));
    if (distill) {
      rows.add(Math.min(1, rows.size()), destinations.getFirst());
      rows.addAll(destinations.subList(1, destinations.size()));
    } else {
      rows.addAll(destinations);
    }
    if (spec.order() == TokenOrder.TOKENS) {
      rows.sort(null);
    }
    java.util.Arrays.fill(slot, -1);
    for (int row = 0; row < rows.size(); row++) {
      slot[rows.get(row)] = row;
    }
    mergedSources.forEach(i -> slot[sources.get(i)] = slot[destinations.get(to[i])]);
    destinations.forEach(token -> similarity[token] = 1);
    for (int i = 0; i < n; i++) {
      similarity[sources.get(i)] = best[i] + 0.0f;
    }
    return new Match(slot, similarity, rows.size());
  }

  private static float[] row(TokenMatch.Spec spec, RandomRows metric, long token) {
    float[] row = new float[(int) spec.dim()];
    for (int k = 0; k < row.length; k++) {
      row[k] = EmbeddingReference.decode(spec.metric(), (int) metric.bits(token, k));
    }
    return row;
  }

  private static float inverseNorm(float[] row) {
    float squared = 0;
    for (int piece = 0; piece < row.length; piece += 4096) {
      float[] partial = new float[64];
      for (int k = piece; k < Math.min(row.length, piece + 4096); k++) {
        partial[k % 64] = Math.fma(row[k], row[k], partial[k % 64]);
      }
      for (int half = 32; half > 0; half /= 2) {
        for (int p = 0; p < half; p++) {
          partial[p] += partial[p + half];
        }
      }
      squared += partial[0];
    }
    return squared == 0 ? Float.NaN : 1 / (float) Math.sqrt(squared);
  }

  static Outcome step(MergeStepCases.Case of) {
    List<Outcome.Output> matched = match(of.match()).outputs();
    Outcome.Output slots = matched.getFirst();
    TokenMergeCases.Inputs in = of.merging().inputs();
    long[] slot = new long[slots.elements()];
    float[] scale =
        of.scale() == MergeStepCases.Scale.SIMILARITY ? new float[slot.length] : in.scale();
    for (int i = 0; i < slot.length; i++) {
      slot[i] = (int) slots.bits(i);
      if (of.scale() == MergeStepCases.Scale.SIMILARITY) {
        scale[i] = Float.intBitsToFloat((int) matched.get(1).bits(i));
      }
    }
    List<Outcome.Output> outputs = new ArrayList<>(matched);
    outputs.addAll(
        merge(of.merging(), new TokenMergeCases.Inputs(in.x(), slot, in.size(), scale)).outputs());
    return new Outcome(outputs, null);
  }

  static Outcome merge(TokenMergeCases.Case of) {
    return merge(of, of.inputs());
  }

  private static Outcome merge(TokenMergeCases.Case of, TokenMergeCases.Inputs in) {
    TokenMerge.Spec spec = of.spec();
    int dim = (int) spec.dim();
    Rows out = new Rows(spec.dtype(), of.batch() * spec.merged(), dim, of.strided());
    ByteBuffer sizes = bytes(of.batch() * (int) spec.merged() * Float.BYTES);
    for (int row = 0; row < of.batch() * spec.merged(); row++) {
      int batch = row / (int) spec.merged();
      List<Integer> members = new ArrayList<>();
      for (int n = 0; n < spec.tokens(); n++) {
        int token = batch * (int) spec.tokens() + n;
        if (in.slot()[token] == row % spec.merged()) {
          members.add(token);
        }
      }
      float total = members.size() == 1 ? in.sizeOf(members.getFirst()) : 0;
      for (int chunk = 0; members.size() > 1 && chunk < members.size(); chunk += 64) {
        float partial = 0;
        for (int token : members.subList(chunk, Math.min(members.size(), chunk + 64))) {
          partial += in.sizeOf(token);
        }
        total += partial;
      }
      sizes.putFloat(members.isEmpty() ? 0 : total < spec.leastSize() ? spec.leastSize() : total);
      for (int d = 0; d < dim; d++) {
        if (members.isEmpty()) {
          out.set(row, d, 0);
        } else if (members.size() == 1) {
          out.set(row, d, (int) in.x().bits(members.getFirst(), d));
        } else {
          out.set(
              row,
              d,
              EmbeddingReference.encode(spec.dtype(), combined(spec, in, members, d, total)));
        }
      }
    }
    List<Outcome.Output> outputs = new ArrayList<>();
    outputs.add(new Outcome.Output("out", spec.dtype(), out.bytes));
    if (of.sized()) {
      outputs.add(new Outcome.Output("sizeOut", DType.F32, sizes.array()));
    }
    return new Outcome(outputs, null);
  }

  private static float combined(
      TokenMerge.Spec spec, TokenMergeCases.Inputs in, List<Integer> members, int d, float total) {
    float sum = 0;
    float greatest = Float.NEGATIVE_INFINITY;
    for (int chunk = 0; chunk < members.size(); chunk += 64) {
      float partial = 0;
      for (int token : members.subList(chunk, Math.min(members.size(), chunk + 64))) {
        float value = EmbeddingReference.decode(spec.dtype(), (int) in.x().bits(token, d));
        partial =
            spec.combine() == Combine.WEIGHTED_MEAN
                ? Math.fma(value, in.sizeOf(token), partial)
                : partial + value;
        greatest = Math.max(greatest, value);
      }
      sum += partial;
    }
    return switch (spec.combine()) {
      case SUM -> sum;
      case MEAN -> sum / members.size();
      case WEIGHTED_MEAN -> sum / total;
      default -> greatest == 0 ? 0 : greatest;
    };
  }

  static Outcome unmerge(TokenUnmergeCases.Case of) {
    TokenUnmerge.Spec spec = of.spec();
    int dim = (int) spec.dim();
    Rows out = new Rows(spec.dtype(), of.batch() * spec.tokens(), dim, of.strided());
    long[] slot = of.slot();
    RandomRows y = of.y();
    for (int token = 0; token < slot.length; token++) {
      long row = slot[token];
      boolean dropped = row < 0 || row >= spec.merged();
      if (dropped && spec.droppedToFirst()) {
        row = 0;
      }
      boolean zero = spec.merged() == 0 || (dropped && !spec.droppedToFirst());
      for (int d = 0; d < dim; d++) {
        long from = token / spec.tokens() * spec.merged() + row;
        out.set(token, d, zero ? 0 : y.bits(from, d));
      }
    }
    return new Outcome(List.of(new Outcome.Output("out", spec.dtype(), out.bytes)), null);
  }

  static Outcome prune(TokenPruneCases.Case of) {
    TokenPrune.Spec spec = of.spec();
    int tokens = (int) spec.tokens();
    ByteBuffer order = bytes(of.batch() * tokens * Integer.BYTES);
    ByteBuffer slot = bytes(of.batch() * tokens * Integer.BYTES);
    for (int b = 0; b < of.batch(); b++) {
      List<Integer> ranked =
          ranked(of.attention(), b, (int) spec.heads(), tokens, spec.classToken());
      ranked.forEach(order::putInt);
      for (int n = 0; n < tokens; n++) {
        int place = ranked.indexOf(n);
        slot.putInt(place < spec.keep() ? place : -1);
      }
    }
    List<Outcome.Output> outputs = new ArrayList<>();
    outputs.add(new Outcome.Output("order", DType.I32, order.array()));
    if (of.slotted()) {
      outputs.add(new Outcome.Output("slot", DType.I32, slot.array()));
    }
    return new Outcome(outputs, null);
  }

  private static List<Integer> ranked(
      RandomRows attention, int batch, int heads, int tokens, boolean classToken) {
    float[] importance = new float[tokens];
    for (int n = 0; n < tokens; n++) {
      for (int chunk = 0; chunk < heads; chunk += 64) {
        float partial = 0;
        for (int h = chunk; h < Math.min(heads, chunk + 64); h++) {
          partial += Float.intBitsToFloat((int) attention.bits((long) batch * heads + h, n));
        }
        importance[n] += partial;
      }
      importance[n] /= heads;
    }
    Comparator<Integer> order =
        Comparator.<Integer, Boolean>comparing(n -> !(classToken && n == 0))
            .thenComparing(n -> Float.isNaN(importance[n]))
            .thenComparing(n -> -importance[n] + 0.0f)
            .thenComparing(n -> n);
    return IntStream.range(0, tokens).boxed().sorted(order).toList();
  }

  /** The three parts one after the other, each as its own reference has it. */
  static Outcome diffRate(DiffRateBlockCases.Case of) {
    DiffRateBlock.Spec spec = of.spec();
    int tokens = (int) spec.tokens();
    int dim = (int) spec.dim();
    int kept = (int) spec.keptTokens();
    ByteBuffer order = bytes(of.batch() * tokens * Integer.BYTES);
    ByteBuffer slot = bytes(of.batch() * tokens * Integer.BYTES);
    ByteBuffer similarity = bytes(of.batch() * tokens * Float.BYTES);
    ByteBuffer sizes = bytes(of.batch() * kept * Float.BYTES);
    Rows out = new Rows(spec.dtype(), (long) of.batch() * kept, dim, of.strided());
    RandomRows x = of.x();
    TokenMatch.Spec match =
        TokenMatch.Spec.headTail(
            spec.dtype(), tokens, dim, spec.prune(), spec.keep(), spec.classToken());
    TokenMerge.Spec merge = TokenMerge.Spec.of(spec.dtype(), tokens, kept, dim, Combine.MEAN);
    long[] orders = new long[of.batch() * tokens];
    for (int b = 0; b < of.batch(); b++) {
      List<Integer> ranked =
          ranked(of.attention(), b, (int) spec.heads(), tokens, spec.classToken());
      for (int i = 0; i < tokens; i++) {
        orders[b * tokens + i] = ranked.get(i);
        order.putInt(ranked.get(i));
      }
      Match found = match(match, new TokenMatchCases.Inputs(x, orders, null), b);
      float[] scale = new float[of.batch() * tokens];
      for (int n = 0; n < tokens; n++) {
        slot.putInt(found.slot[n]);
        similarity.putFloat(found.similarity[n]);
        scale[b * tokens + n] = found.similarity[n];
      }
      float[] size = new float[of.batch() * tokens];
      for (int i = 0; i < size.length; i++) {
        size[i] = of.size(i);
      }
      TokenMergeCases.Inputs in = new TokenMergeCases.Inputs(x, null, size, scale);
      for (int m = 0; m < kept; m++) {
        List<Integer> members = new ArrayList<>();
        float total = 0;
        for (int n = 0; n < tokens; n++) {
          if (found.slot[n] == m) {
            members.add(b * tokens + n);
            total =
                members.size() == 1 ? in.sizeOf(b * tokens + n) : total + in.sizeOf(b * tokens + n);
          }
        }
        sizes.putFloat(Math.max(total, spec.leastSize()));
        for (int d = 0; d < dim; d++) {
          out.set(
              (long) b * kept + m,
              d,
              members.size() == 1
                  ? (int) x.bits(members.getFirst(), d)
                  : EmbeddingReference.encode(
                      spec.dtype(), combined(merge, in, members, d, total)));
        }
      }
    }
    return new Outcome(
        List.of(
            new Outcome.Output("order", DType.I32, order.array()),
            new Outcome.Output("slot", DType.I32, slot.array()),
            new Outcome.Output("similarity", DType.F32, similarity.array()),
            new Outcome.Output("out", spec.dtype(), out.bytes),
            new Outcome.Output("sizeOut", DType.F32, sizes.array())),
        null);
  }

  /** The memory of an output of rows, poisoned where nothing is written. */
  private static final class Rows {
    private final DType dtype;
    private final int dim;
    private final boolean strided;
    private final byte[] bytes;

    Rows(DType dtype, long rows, int dim, boolean strided) {
      this.dtype = dtype;
      this.dim = dim;
      this.strided = strided;
      bytes =
          PreparedCase.poison(
              PreparedCase.elements(strided, io.quern.Shape.of(rows, dim)) * dtype.byteSize());
    }

    void set(long row, int column, int bits) {
      int at = (int) PreparedCase.position(strided, row, column, dim) * dtype.byteSize();
      ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder());
      if (dtype == DType.F32) {
        buffer.putInt(at, bits);
      } else {
        buffer.putShort(at, (short) bits);
      }
    }
  }

  private static ByteBuffer bytes(int size) {
    return ByteBuffer.allocate(size).order(ByteOrder.nativeOrder());
  }
}
