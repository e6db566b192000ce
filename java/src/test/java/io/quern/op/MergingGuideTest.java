package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Backend;
import io.quern.Buffer;
import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** The example of {@code docs/merging.md}, word for word, and what it does. */
class MergingGuideTest {
  private static final Path GUIDE = Path.of("../docs/merging.md");
  private static final Path THIS = Path.of("src/test/java/io/quern/op/MergingGuideTest.java");

  private static final int BATCH = 2;
  private static final int N = 197;
  private static final int R = 16;
  private static final int DIM = 96;
  private static final int KEY_DIM = 64;

  @Test
  void mergesAndGoesBack() {
    try (Device device = CpuDevice.open(Backend.SCALAR, 1);
        Stream stream = device.openStream();
        Buffer keys = random(device, stream, KEY_DIM);
        Buffer x = random(device, stream, DIM);
        Buffer back = device.allocate(DType.F32, Shape.of(BATCH, N, DIM))) {
      // The guide's example begins here.
      var match = TokenMatch.Spec.bipartite(DType.F32, N, KEY_DIM, true, false, R);
      long left = match.mergedTokens(); // N − R
      var merge = TokenMerge.Spec.of(DType.F32, N, left, DIM, Combine.WEIGHTED_MEAN);

      TokenMatch matching = TokenMatch.plan(device, match); // once for each shape
      TokenMerge merging = TokenMerge.plan(device, merge);
      TokenUnmerge unmerging =
          TokenUnmerge.plan(device, TokenUnmerge.Spec.of(DType.F32, left, N, DIM));

      try (Buffer slot = device.allocate(DType.I32, match.slotShape(BATCH));
          Buffer scratch = device.allocate(DType.U8, Shape.of(matching.workspaceBytes(BATCH)));
          Buffer merged = device.allocate(DType.F32, merge.outputShape(BATCH));
          Buffer sizes = device.allocate(DType.F32, Shape.of(BATCH, left))) {
        matching.run(stream, TokenMatch.Operands.of(keys, slot).withWorkspace(scratch));
        merging.run(stream, TokenMerge.Operands.of(x, slot, merged).withSizes(null, sizes));
        unmerging.run(stream, new TokenUnmerge.Operands(merged, slot, back));
        // The guide's example ends here.
        assertEquals(N - R, left);
        float[] size = new float[(int) (BATCH * left)];
        sizes.copyTo(MemorySegment.ofArray(size), stream);
        double sum = 0;
        for (float one : size) {
          sum += one;
        }
        assertEquals(BATCH * N, sum);

        MemorySegment twice = read(merged, stream);
        merged.copyFrom(MemorySegment.ofArray(new float[(int) merged.shape().size()]), stream);
        // The guide's step begins here.
        var spec = MergeStep.Spec.of(match, DType.F32, DIM, Combine.WEIGHTED_MEAN);
        MergeStep step = MergeStep.plan(device, spec);
        step.run(stream, MergeStep.Operands.of(keys, x, slot, merged).withSizes(null, sizes));
        // The guide's step ends here.
        assertEquals(-1, twice.mismatch(read(merged, stream)));
      }
    }
  }

  private static MemorySegment read(Buffer buffer, Stream stream) {
    MemorySegment read = MemorySegment.ofArray(new float[(int) buffer.shape().size()]);
    buffer.copyTo(read, stream);
    return read;
  }

  @Test
  void theGuideHasThisStep() throws IOException {
    List<String> own =
        lines(THIS, "// The guide's step begins here.", "// The guide's step ends here.");
    List<String> guide = Files.readAllLines(GUIDE);
    int first = guide.indexOf(own.getFirst());
    assertEquals(own, guide.subList(first, first + own.size()));
    assertEquals("```", guide.get(first + own.size()));
  }

  @Test
  void theGuideHasThisExample() throws IOException {
    List<String> own =
        lines(THIS, "// The guide's example begins here.", "// The guide's example ends here.");
    List<String> guide = lines(GUIDE, "```java", "```");
    assertTrue(own.size() > 10);
    assertEquals(own, guide.subList(0, guide.size() - 1), "the guide closes a brace more");
  }

  private static List<String> lines(Path file, String first, String last) throws IOException {
    List<String> between = new ArrayList<>();
    boolean inside = false;
    for (String line : Files.readAllLines(file)) {
      String text = line.strip();
      if (inside && text.equals(last)) {
        break;
      }
      if (inside && !text.isEmpty()) {
        between.add(text);
      }
      inside |= text.equals(first);
    }
    return between;
  }

  private static Buffer random(Device device, Stream stream, int dim) {
    float[] values = new float[BATCH * N * dim];
    SplittableRandom random = new SplittableRandom(dim);
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    Buffer buffer = device.allocate(DType.F32, Shape.of(BATCH, N, dim));
    buffer.copyFrom(MemorySegment.ofArray(values), stream);
    return buffer;
  }
}
