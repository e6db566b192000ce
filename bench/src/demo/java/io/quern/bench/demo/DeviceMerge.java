package io.quern.bench.demo;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.Combine;
import io.quern.op.SourceMap;
import io.quern.op.TokenMatch;
import io.quern.op.TokenMerge;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** One batch row of tokens on a device, merged as often as one likes. */
final class DeviceMerge implements AutoCloseable {
  private final Device device;
  private final Stream stream;
  private final List<Buffer> owned = new ArrayList<>();
  private final long sources;
  private long tokens;
  private Buffer states;
  private Buffer metric;
  private Buffer size;
  private Buffer groups;

  /**
   * Takes tokens of size 1.
   *
   * @param metric of as many rows, by which they are matched
   */
  DeviceMerge(Device device, float[] states, float[] metric, int tokens) {
    this.device = device;
    this.stream = device.openStream();
    this.sources = tokens;
    this.tokens = tokens;
    this.states = floats(states, tokens);
    this.metric = floats(metric, tokens);
  }

  private Buffer floats(float[] values, int rows) {
    Buffer buffer = allocate(DType.F32, Shape.of(1, rows, values.length / rows));
    buffer.copyFrom(MemorySegment.ofArray(values), stream);
    return buffer;
  }

  private Buffer allocate(DType dtype, Shape shape) {
    Buffer buffer = device.allocate(dtype, shape);
    owned.add(buffer);
    return buffer;
  }

  /**
   * Merges up to r even tokens into odd ones, weighted by size.
   *
   * @param classToken whether the first token stays as it is
   */
  void merge(int r, boolean classToken) {
    var match =
        TokenMatch.Spec.bipartite(
            DType.F32, tokens, metric.shape().last(), classToken, false, Math.max(0, r));
    long left = match.mergedTokens();
    TokenMatch matching = TokenMatch.plan(device, match);
    Buffer slot = allocate(DType.I32, Shape.of(1, tokens));
    long bytes = matching.workspaceBytes(1);
    matching.run(
        stream,
        TokenMatch.Operands.of(metric, slot)
            .withWorkspace(bytes == 0 ? null : allocate(DType.U8, Shape.of(bytes))));
    Buffer sizeOut = allocate(DType.F32, Shape.of(1, left));
    states = merged(states, slot, left, sizeOut);
    metric = merged(metric, slot, left, null);
    size = sizeOut;
    Buffer grouped = allocate(DType.I32, Shape.of(1, sources));
    SourceMap.plan(device, SourceMap.Spec.of(sources, tokens, left))
        .run(stream, SourceMap.Operands.of(slot, groups, grouped));
    groups = grouped;
    tokens = left;
  }

  private Buffer merged(Buffer x, Buffer slot, long left, Buffer sizeOut) {
    long dim = x.shape().last();
    Buffer out = allocate(DType.F32, Shape.of(1, left, dim));
    TokenMerge.plan(device, TokenMerge.Spec.of(DType.F32, tokens, left, dim, Combine.WEIGHTED_MEAN))
        .run(stream, TokenMerge.Operands.of(x, slot, out).withSizes(size, sizeOut));
    return out;
  }

  /** Tokens that are left. */
  int tokens() {
    return (int) tokens;
  }

  /** Their states. */
  float[] states() {
    return read(states);
  }

  /** How many tokens each of them stands for. */
  float[] sizes() {
    return read(size);
  }

  /** Which of them each token is in. */
  int[] groups() {
    int[] values = new int[(int) sources];
    groups.copyTo(MemorySegment.ofArray(values), stream);
    return values;
  }

  private float[] read(Buffer buffer) {
    float[] values = new float[(int) buffer.shape().size()];
    buffer.copyTo(MemorySegment.ofArray(values), stream);
    return values;
  }

  @Override
  public void close() {
    owned.forEach(Buffer::close);
    stream.close();
  }
}
