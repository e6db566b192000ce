package io.quern.bench.measure;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.ScatterMode;
import io.quern.op.ScatterRows;
import io.quern.op.ScatterRowsCases;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.function.IntConsumer;
import java.util.stream.Stream;

/** Rows to places. */
final class ScatterWorkload {
  private static final String OPERATOR = "scatter_rows";

  private final ScatterRows.Spec spec;
  private final int dim;
  private final int[] ids;
  private final MemorySegment x;
  private final MemorySegment out;
  private final Workload workload;

  private ScatterWorkload(SegmentAllocator memory, ScatterRowsCases.Case one) {
    spec = one.spec();
    dim = Math.toIntExact(spec.dim());
    ids = CaseInputs.ints(one.ids());
    x = place(memory, one.x());
    Shape places = Shape.of(one.places(), dim);
    workload =
        new Workload(memory, OPERATOR, one.id())
            .with("x", spec.x().name())
            .with("mode", spec.mode().name())
            .with("count", ids.length)
            .with("places", one.places())
            .with("dim", dim)
            .bytes(bytes())
            .input("x", spec.x(), Shape.of(ids.length, dim), x)
            .input("ids", DType.I32, Shape.of(ids.length), CaseInputs.place(memory, List.of(ids)));
    out = workload.output("out", spec.out(), places, place(memory, one.before()));
    workload.loop("java-segment", set -> loop()).runs(this::onDevice);
    workload.peer(
        switch (spec.mode()) {
          case SET -> Peer.torch("index_copy", "out", "ids", "x");
          case ADD -> Peer.torch("index_add", "out", "ids", "x").within(1e-5, 1e-5);
          case MAX -> Peer.torch("index_max", "out", "ids", "x");
        });
  }

  /** The cases of the operator's table. */
  static Stream<TimedCase> cases() {
    return ScatterRowsCases.benchmark().stream()
        .map(
            one ->
                TimedCase.of(
                        OPERATOR, one.id(), memory -> new ScatterWorkload(memory, one).workload)
                    .withIds(one.distribution().name())
                    .quickly(one.count() > 1000));
  }

  private static MemorySegment place(SegmentAllocator memory, byte[] bytes) {
    return memory.allocate(bytes.length, 64).copyFrom(MemorySegment.ofArray(bytes));
  }

  /** Each row is read; with SET written once per place, else each place is read and written. */
  private long bytes() {
    long row = (long) dim * spec.x().byteSize();
    long places = java.util.Arrays.stream(ids).distinct().count();
    return ids.length * (long) Integer.BYTES
        + (spec.mode() == ScatterMode.SET ? 2 * places : ids.length + 2 * places) * row;
  }

  /** Row after row; with ADD each place's rows are added up first, as its rows are few. */
  private void loop() {
    switch (spec.mode()) {
      case SET -> {
        for (int i = 0; i < ids.length; i++) {
          for (int d = 0; d < dim; d++) {
            out.setAtIndex(
                ValueLayout.JAVA_INT,
                (long) ids[i] * dim + d,
                x.getAtIndex(ValueLayout.JAVA_INT, (long) i * dim + d));
          }
        }
      }
      case ADD -> {
        float[] totals = new float[Math.toIntExact(out.byteSize() / Float.BYTES)];
        for (int i = 0; i < ids.length; i++) {
          for (int d = 0; d < dim; d++) {
            totals[ids[i] * dim + d] += x.getAtIndex(ValueLayout.JAVA_FLOAT, (long) i * dim + d);
          }
        }
        for (int i = 0; i < totals.length; i++) {
          float before = out.getAtIndex(ValueLayout.JAVA_FLOAT, i);
          out.setAtIndex(ValueLayout.JAVA_FLOAT, i, before + totals[i]);
        }
      }
      case MAX -> {
        for (int i = 0; i < ids.length; i++) {
          for (int d = 0; d < dim; d++) {
            long at = (long) ids[i] * dim + d;
            float value = x.getAtIndex(ValueLayout.JAVA_FLOAT, (long) i * dim + d);
            float before = out.getAtIndex(ValueLayout.JAVA_FLOAT, at);
            out.setAtIndex(ValueLayout.JAVA_FLOAT, at, Math.max(before, value));
          }
        }
      }
    }
  }

  private IntConsumer onDevice(Placement place) {
    ScatterRows plan = ScatterRows.plan(place.device(), spec);
    Buffer rows = place.input("x");
    Buffer to = place.input("ids");
    Buffer places = place.output("out");
    long scratch = plan.workspaceBytes(ids.length);
    Buffer workspace = scratch == 0 ? null : place.scratch(DType.U8, Shape.of(scratch));
    return set -> plan.run(place.stream(), rows, to, places, workspace);
  }
}
