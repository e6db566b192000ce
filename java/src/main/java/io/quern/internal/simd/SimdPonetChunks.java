package io.quern.internal.simd;

import io.quern.internal.cpu.HostPonetChunks;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.PonetTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.simd.PonetPasses.Pass;
import io.quern.op.PonetChunks;
import io.quern.op.PonetPooling;

/** The passes of a pooling over one chunk, from where the last chunk left them. */
final class SimdPonetChunks extends HostPonetChunks {
  SimdPonetChunks(PonetPooling.Spec spec) {
    super(spec);
  }

  @Override
  public long workspaceBytes(long tokens) {
    return PonetSoftmax.shareBytes(spec, 1, tokens);
  }

  private long rowBytes() {
    return (long) spec.columns() * spec.x().byteSize();
  }

  private static PonetPasses task(HostStream host) {
    return host.task(PonetPasses.class, workers -> new PonetPasses());
  }

  @Override
  public void queries(QueueStream stream, PonetChunks.Queries operands) {
    HostStream host = (HostStream) stream;
    long places = PonetSoftmax.places(1, operands.q().shape().dim(0));
    queries(host, operands, Pass.QUERIES, places);
    queries(host, operands, Pass.MEAN, 1);
  }

  private void queries(HostStream host, PonetChunks.Queries operands, Pass pass, long rows) {
    PonetPasses task = task(host);
    task.chunk(spec, operands);
    task.lay(pass, host, 0);
    host.run(task, rows, PonetTask.CHUNK * rowBytes());
  }

  @Override
  public void keys(QueueStream stream, PonetChunks.Keys operands) {
    HostStream host = (HostStream) stream;
    long tokens = operands.k().shape().dim(0);
    keys(host, operands, Pass.KEYS, PonetSoftmax.places(1, tokens), PonetTask.CHUNK * rowBytes());
    keys(host, operands, Pass.VALUE, 1, rowBytes());
    keys(host, operands, Pass.SEGMENTS, tokens, rowBytes());
  }

  private void keys(
      HostStream host, PonetChunks.Keys operands, Pass pass, long rows, long bytesPerRow) {
    PonetPasses task = task(host);
    task.chunk(spec, operands);
    task.lay(pass, host, 0);
    host.run(task, rows, bytesPerRow);
  }

  @Override
  public void fuse(QueueStream stream, PonetChunks.Fusion operands) {
    HostStream host = (HostStream) stream;
    PonetPasses task = task(host);
    task.chunk(spec, operands);
    task.lay(Pass.ROWS, host, 0);
    host.run(task, operands.out().shape().dim(0), 3 * rowBytes());
  }
}
