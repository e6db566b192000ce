package io.quern.bench.words;

import io.quern.Backend;
import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.bench.Arguments;
import io.quern.bench.Command;
import io.quern.bench.Option;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import io.quern.bench.measure.OpenDevices;
import io.quern.op.Combine;
import io.quern.op.EmbeddingGather;
import io.quern.op.IndexPolicy;
import io.quern.op.SegmentBroadcast;
import io.quern.op.SegmentReduce;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.text.BreakIterator;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * Word pooling of bytes, as byte-level models do it: a text's bytes are looked up, each word's rows
 * become one, and each byte gets its word's row back.
 */
public final class WordsCommand implements Command {
  private static final int DIM = 64;
  private static final int BYTES = 256;

  @Override
  public String name() {
    return "words";
  }

  @Override
  public String summary() {
    return "pools a text's bytes word by word, and broadcasts the words back, on every back end";
  }

  @Override
  public List<String> operands() {
    return List.of("TEXT");
  }

  @Override
  public List<Option> options() {
    return List.of(Option.BACKEND);
  }

  @Override
  public String details() {
    return """
    The text's UTF-8 bytes are looked up in a table of random rows; java.text.BreakIterator says
    where words begin, in bytes; SegmentReduce makes the mean of each word's rows, SegmentBroadcast
    gives every byte its word's row. Each word is printed with the bytes it has and the first
    element of its row. All back ends must give the same bits, or the exit code is 1.
    """;
  }

  @Override
  public List<String> examples() {
    return List.of("words \"Grüße aus Köln\"");
  }

  @Override
  public Outcome run(Arguments arguments, Terminal terminal) throws Exception {
    String text = arguments.operand(0);
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    int[] offsets = offsets(text);
    float[] first = null;
    boolean same = true;
    try (OpenDevices devices = new OpenDevices(arguments.backends(), 1)) {
      for (Device device : devices.all()) {
        float[] rows = pool(device, bytes, offsets);
        if (first == null) {
          first = rows;
          print(terminal, bytes, offsets, rows);
        }
        boolean equal = MemorySegment.ofArray(first).mismatch(MemorySegment.ofArray(rows)) < 0;
        same &= equal;
        Backend backend = device.backend();
        terminal.out().println(backend.id() + ": " + (equal ? "the same bits" : "DIFFERENT"));
      }
    }
    return same ? Outcome.OK : Outcome.FAILED;
  }

  /** Where each word, and what lies between two words, begins in UTF-8, and where the last ends. */
  static int[] offsets(String text) {
    BreakIterator words = BreakIterator.getWordInstance(Locale.ROOT);
    words.setText(text);
    IntStream.Builder offsets = IntStream.builder();
    int bytes = 0;
    int from = words.first();
    offsets.add(0);
    for (int to = words.next(); to != BreakIterator.DONE; from = to, to = words.next()) {
      bytes += text.substring(from, to).getBytes(StandardCharsets.UTF_8).length;
      offsets.add(bytes);
    }
    return offsets.build().toArray();
  }

  /** The rows of each byte's word. */
  private static float[] pool(Device device, byte[] bytes, int[] offsets) {
    int words = offsets.length - 1;
    int[] tokens = new int[bytes.length];
    int[] wordOf = new int[bytes.length];
    for (int word = 0; word < words; word++) {
      for (int i = offsets[word]; i < offsets[word + 1]; i++) {
        tokens[i] = bytes[i] & 0xff;
        wordOf[i] = word;
      }
    }
    SplittableRandom random = new SplittableRandom(1);
    float[] table = new float[BYTES * DIM];
    for (int i = 0; i < table.length; i++) {
      table[i] = (float) random.nextGaussian();
    }
    var gather =
        EmbeddingGather.plan(
            device, EmbeddingGather.Spec.of(DType.F32, BYTES, DIM, IndexPolicy.FAIL));
    var reduce =
        SegmentReduce.plan(
            device, SegmentReduce.Spec.of(DType.F32, DIM, Combine.MEAN, IndexPolicy.FAIL));
    var broadcast =
        SegmentBroadcast.plan(device, SegmentBroadcast.Spec.of(DType.F32, DIM, IndexPolicy.FAIL));
    try (Stream stream = device.openStream();
        Buffer rows = device.allocate(DType.F32, Shape.of(BYTES, DIM));
        Buffer ids = device.allocate(DType.I32, Shape.of(bytes.length));
        Buffer x = device.allocate(DType.F32, Shape.of(bytes.length, DIM));
        Buffer at = device.allocate(DType.I32, Shape.of(words + 1));
        Buffer pooled = device.allocate(DType.F32, reduce.spec().outputShape(words));
        Buffer back = device.allocate(DType.I32, Shape.of(bytes.length));
        Buffer out = device.allocate(DType.F32, Shape.of(bytes.length, DIM))) {
      rows.copyFrom(MemorySegment.ofArray(table), stream);
      ids.copyFrom(MemorySegment.ofArray(tokens), stream);
      at.copyFrom(MemorySegment.ofArray(offsets), stream);
      back.copyFrom(MemorySegment.ofArray(wordOf), stream);
      gather.run(stream, rows, ids, x);
      reduce.run(stream, SegmentReduce.Operands.of(x, at, pooled));
      broadcast.run(stream, pooled, back, out);
      float[] result = new float[bytes.length * DIM];
      out.copyTo(MemorySegment.ofArray(result), stream);
      return result;
    }
  }

  private static void print(Terminal terminal, byte[] bytes, int[] offsets, float[] rows) {
    for (int word = 0; word < offsets.length - 1; word++) {
      int from = offsets[word];
      int length = offsets[word + 1] - from;
      String text = new String(bytes, from, length, StandardCharsets.UTF_8);
      terminal.out().printf(Locale.ROOT, "%-20s %3d bytes %9.5f%n", text, length, rows[from * DIM]);
    }
  }
}
