package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.SegmentMaxTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.SegmentMaxKernel;
import io.quern.op.SegmentMax;
import java.lang.foreign.MemorySegment;

/** {@code out[s, :] = max(x[i, :])} over the rows with {@code ids[i] = s}, through a tile. */
final class SimdSegmentMax implements SegmentMaxKernel {
  private final SegmentMax.Spec spec;

  SimdSegmentMax(SegmentMax.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, Buffer x, Buffer ids, Buffer out, Buffer workspace) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.tiles = host.kept(Tile[].class, Tile::ofEach);
    task.pool(spec, x, ids, out);
    long segments = out.shape().dim(0);
    host.run(task, segments, (x.shape().dim(0) / segments + 1) * spec.dim() * spec.x().byteSize());
  }

  private static final class Task extends SegmentMaxTask {
    /** Half a tile: the segment's row is in its first half, the row it takes in its second. */
    private static final int HALF = Tile.CAPACITY / 2;

    private Tile[] tiles;

    @Override
    protected void take(int worker, MemorySegment x, long source, MemorySegment out, long target) {
      Tile tile = tiles[worker];
      boolean empty = isEmpty(out, target);
      for (long column = 0; column < dim; column += HALF) {
        int width = (int) Math.min(HALF, dim - column);
        long at = column * dtype.byteSize();
        float[] best = tile.floats;
        if (empty) {
          tile.load(dtype, x, source + at, 0, width);
          tile.widen(dtype, width);
        } else {
          tile.load(dtype, out, target + at, 0, width);
          tile.load(dtype, x, source + at, width, width);
          tile.widen(dtype, 2 * width);
          TileReduce.max(best, width, 1, best, width);
        }
        TileReduce.add(best, 0f, width); // -0 becomes +0
        tile.round(dtype, best, width);
        tile.store(dtype, best, 0, out, target + at, width);
      }
      if (isEmpty(out, target)) { // the value's own NaN
        if (dtype == DType.F32) {
          out.set(JAVA_INT, target, Float.floatToIntBits(Float.NaN));
        } else {
          out.set(JAVA_SHORT, target, (short) (EMPTY ^ 1));
        }
      }
    }

    @Override
    protected void finish(int worker, MemorySegment out, long target) {
      if (isEmpty(out, target)) {
        Tile.storeZeros(out, target, dim * dtype.byteSize());
      }
    }
  }
}
