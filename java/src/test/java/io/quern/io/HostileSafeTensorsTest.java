package io.quern.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import com.sun.management.ThreadMXBean;
import io.quern.DType;
import io.quern.Shape;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Files made to break a reader: each ends in a {@link SafeTensorsException}, and costs little. */
class HostileSafeTensorsTest {
  @TempDir static Path folder;

  /**
   * A file and what must be said of it.
   *
   * @param tensor the tensor that the message has to name, or null
   * @param reason a part of the reason
   */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Hostile(String name, byte[] file, String tensor, String reason) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static final byte[] EIGHT = new byte[8];

  private static byte[] withLength(long length, String rest) {
    byte[] text = rest.getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(8 + text.length)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(length)
        .put(text)
        .array();
  }

  private static Hostile header(String name, String header, String tensor, String reason) {
    return new Hostile(name, SafeTensorsTest.file(header, EIGHT), tensor, reason);
  }

  /** One tensor {@code x} with these fields, before 8 bytes of data. */
  private static Hostile entry(String name, String fields, String reason) {
    return header(name, "{\"x\":" + fields + "}", "x", reason);
  }

  private static Hostile offsets(String name, String entries, String tensor, String reason) {
    return header(
        name,
        entries.replaceAll(
            "(\\w):(\\d+)-(\\d+)/(\\d+)",
            "\"$1\":{\"dtype\":\"U8\",\"shape\":[$4],\"data_offsets\":[$2,$3]}"),
        tensor,
        reason);
  }

  static List<Hostile> hostileFiles() {
    String ok = "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}";
    byte[] invalidUtf8 = ("{\"x?\":" + ok + "}").getBytes(StandardCharsets.UTF_8);
    invalidUtf8[3] = (byte) 0xC0;
    byte[] overlong = ("{\"x??\":" + ok + "}").getBytes(StandardCharsets.UTF_8);
    overlong[3] = (byte) 0xC1;
    overlong[4] = (byte) 0xA1;
    return List.of(
        new Hostile("empty file", new byte[0], null, "0 bytes do not hold a header length"),
        new Hostile("seven bytes", new byte[7], null, "7 bytes do not hold a header length"),
        new Hostile("header length 0", new byte[8], null, "does not begin with {"),
        new Hostile("negative length", withLength(-1, "{}"), null, "18446744073709551615"),
        new Hostile(
            "smallest length", withLength(Long.MIN_VALUE, "{}"), null, "more than 100000000"),
        new Hostile("over 100 MB", withLength(100_000_001, "{}"), null, "more than 100000000"),
        new Hostile("longer than file", withLength(3, "{}"), null, "but 2 bytes follow it"),
        new Hostile("100 MB of 2 bytes", withLength(100_000_000, "{}"), null, "but 2 bytes follow"),
        new Hostile("not UTF-8", SafeTensorsTest.file(invalidUtf8, EIGHT), null, "not UTF-8"),
        new Hostile("overlong UTF-8", SafeTensorsTest.file(overlong, EIGHT), null, "not UTF-8"),
        new Hostile(
            "UTF-16",
            SafeTensorsTest.file(("{\"x\":" + ok + "}").getBytes(StandardCharsets.UTF_16LE), EIGHT),
            null,
            "cannot be parsed"),
        header("byte order mark", "\uFEFF{\"x\":" + ok + "}", null, "cannot be parsed"),
        header("leading space", " {\"x\":" + ok + "}", null, "does not begin with {"),
        header("array", "[]", null, "does not begin with {"),
        header("null", "null", null, "does not begin with {"),
        header("spaces", "        ", null, "does not begin with {"),
        header("cut off", "{\"x\":" + ok, null, "cannot be parsed"),
        header("cut off in a name", "{\"x", null, "cannot be parsed"),
        header("comment", "{/**/\"x\":" + ok + "}", null, "cannot be parsed"),
        header("trailing comma", "{\"x\":" + ok + ",}", null, "cannot be parsed"),
        header("single quotes", "{'x':" + ok + "}", null, "cannot be parsed"),
        header("two objects", "{\"x\":" + ok + "}{}", null, "continues after its closing }"),
        header("NUL padding", "{\"x\":" + ok + "}\0", null, "cannot be parsed"),
        header("same name twice", "{\"x\":" + ok + ",\"x\":" + ok + "}", "x", "named twice"),
        header("escaped twin", "{\"x\":" + ok + ",\"\\u0078\":" + ok + "}", "x", "named twice"),
        header(
            "metadata twice",
            "{\"__metadata__\":{},\"x\":" + ok + ",\"__metadata__\":{}}",
            null,
            "__metadata__ is given twice"),
        header(
            "metadata key twice",
            "{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"},\"x\":" + ok + "}",
            null,
            "__metadata__ has 'k' twice"),
        header("metadata number", "{\"__metadata__\":{\"k\":1}}", null, "'k' is not a string"),
        header("metadata object", "{\"__metadata__\":{\"k\":{}}}", null, "'k' is not a string"),
        header("metadata null", "{\"__metadata__\":null}", null, "__metadata__ is not an object"),
        header("deep metadata", "{\"__metadata__\":" + "[".repeat(50_000), null, "not an object"),
        header("deep shape", "{\"x\":{\"shape\":" + "[".repeat(50_000), "x", "nesting depth"),
        header("deep entry", "{\"x\":" + "{\"dtype\":".repeat(50_000), "x", "not a string"),
        header(
            "long name", "{\"" + "x".repeat(60_000) + "\":" + ok + "}", null, "cannot be parsed"),
        entry("entry is an array", "[]", "not an object"),
        entry("entry is null", "null", "not an object"),
        entry("no dtype", "{\"shape\":[2],\"data_offsets\":[0,8]}", "dtype is missing"),
        entry("no shape", "{\"dtype\":\"F32\",\"data_offsets\":[0,8]}", "shape is missing"),
        entry("no offsets", "{\"dtype\":\"F32\",\"shape\":[2]}", "data_offsets is missing"),
        entry(
            "dtype twice",
            "{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}",
            "dtype is given twice"),
        entry("unknown field", ok.replace("}", ",\"stride\":[1]}"), "unknown field 'stride'"),
        entry("dtype number", ok.replace("\"F32\"", "32"), "dtype is not a string"),
        entry("unknown dtype", ok.replace("F32", "F33"), "unknown dtype 'F33'"),
        entry("lower-case dtype", ok.replace("F32", "f32"), "unknown dtype 'f32'"),
        entry("shape is a number", ok.replace("[2]", "2"), "shape is not an array"),
        entry("shape of strings", ok.replace("[2]", "[\"2\"]"), "not an array of integers"),
        entry("shape of floats", ok.replace("[2]", "[2.0]"), "not an array of integers"),
        entry("shape of nulls", ok.replace("[2]", "[null]"), "not an array of integers"),
        entry("negative extent", ok.replace("[2]", "[-2]"), "shape has -2"),
        entry(
            "extent over 64 bit", ok.replace("[2]", "[18446744073709551618]"), "not in [0, 2^63)"),
        header(
            "extent of 5000 digits",
            "{\"x\":" + ok.replace("[2]", "[" + "2".repeat(5000) + "]") + "}",
            "x",
            "cannot be parsed"),
        entry("rank 65", ok.replace("[2]", "[1" + ",1".repeat(64) + "]"), "more than 64 entries"),
        entry("size over 64 bit", ok.replace("[2]", "[4294967296,4294967296]"), "larger than any"),
        entry("bits over 64 bit", ok.replace("[2]", "[1152921504606846976]"), "larger than any"),
        // 2^62 elements of 4 bytes are 2^64, which is 0 without an overflow check.
        entry("wraps to the size", ok.replace("[2]", "[4611686018427387906]"), "larger than any"),
        entry("too few bytes", ok.replace("[2]", "[3]"), "span 8 bytes, but [3] of F32 takes 96"),
        entry("too many bytes", ok.replace("[2]", "[1]"), "span 8 bytes, but [1] of F32 takes 32"),
        entry("scalar of 8 bytes", ok.replace("[2]", "[]"), "span 8 bytes, but [] of F32 takes 32"),
        entry("half a byte", ok.replace("F32", "F4").replace("[2]", "[15]"), "takes 60 bits"),
        entry("one offset", ok.replace("[0,8]", "[8]"), "not [begin, end]"),
        entry("three offsets", ok.replace("[0,8]", "[0,8,8]"), "more than 2 entries"),
        entry("descending offsets", ok.replace("[0,8]", "[8,0]"), "not [begin, end]"),
        entry("negative offset", ok.replace("[0,8]", "[-8,0]"), "data_offsets has -8"),
        entry(
            "offset over 64 bit",
            ok.replace("[0,8]", "[0,9223372036854775808]"),
            "not in [0, 2^63)"),
        offsets("past the end", "{x:0-9/9}", "x", "ends at byte 9 of a data section of 8"),
        offsets(
            "far past the end", "{x:0-1000000000000/1000000000000}", "x", "of a data section of 8"),
        offsets("overlap", "{a:0-5/5,b:4-8/4}", "b", "inside the tensor before it"),
        offsets("same bytes", "{a:0-8/8,b:0-8/8}", "b", "inside the tensor before it"),
        offsets("empty inside", "{a:0-8/8,b:4-4/0}", "b", "inside the tensor before it"),
        offsets("hole", "{a:0-3/3,b:4-8/4}", "b", "leaving bytes from 3 on to no tensor"),
        offsets("hole at the start", "{a:1-8/7}", "a", "leaving bytes from 0 on"),
        offsets("trailing bytes", "{a:0-7/7}", null, "1 bytes follow the last tensor"),
        offsets("no tensors", "{}", null, "8 bytes follow the last tensor"));
  }

  @ParameterizedTest
  @MethodSource("hostileFiles")
  void isRejectedWithFileTensorAndReason(Hostile hostile) throws IOException {
    Path path = Files.write(folder.resolve("hostile.safetensors"), hostile.file);
    SafeTensorsException e =
        assertThrows(SafeTensorsException.class, () -> SafeTensors.open(path).close());
    assertTrue(e.reason().contains(hostile.reason), e.reason());
    assertEquals(hostile.tensor, e.tensor().orElse(null));
    assertEquals(path.toString(), e.file());
    assertTrue(e.getMessage().startsWith(path + ": "), e.getMessage());
    assertTrue(e.getMessage().length() < path.toString().length() + 800, e.getMessage());
  }

  @Test
  void messagesQuoteHostileNamesOnOneShortLine() throws IOException {
    Path path =
        Files.write(
            folder.resolve("name.safetensors"),
            SafeTensorsTest.file("{\"\\u001b[2J\\n\\u202e" + "x".repeat(40_000) + "\":[]}", EIGHT));
    SafeTensorsException e = assertThrows(SafeTensorsException.class, () -> SafeTensors.open(path));
    assertTrue(e.getMessage().contains("tensor '?[2J??xxx"), e.getMessage());
    assertTrue(e.getMessage().length() < path.toString().length() + 200);
  }

  /** A truncated file is never a shorter valid one, wherever it is cut. */
  @Test
  void everyTruncationIsRejected() throws IOException {
    byte[] file = valid();
    for (int length = 0; length < file.length; length++) {
      Path path = Files.write(folder.resolve("cut.safetensors"), Arrays.copyOf(file, length));
      assertThrows(SafeTensorsException.class, () -> SafeTensors.open(path), "at " + length);
    }
  }

  private static byte[] valid() throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    new SafeTensorsWriter()
        .metadata("format", "pt")
        .add("embed.weight", DType.F16, Shape.of(3, 5), MemorySegment.ofArray(new byte[30]))
        .add("bias", DType.F32, Shape.of(5), MemorySegment.ofArray(new byte[20]))
        .add("empty", DType.I64, Shape.of(0, 7), MemorySegment.NULL)
        .write(Channels.newChannel(out));
    return out.toByteArray();
  }

  /**
   * Mutates valid and hostile files for two seconds. A file is read whole or refused with the
   * documented exception, and costs no more heap than its own size accounts for.
   */
  @Test
  void mutationsAreReadOrRejected() throws IOException {
    List<byte[]> corpus = new ArrayList<>(List.of(valid()));
    hostileFiles().stream().map(Hostile::file).filter(f -> f.length < 4096).forEach(corpus::add);
    long seed = Long.getLong("quern.seed", 20260101L);
    SplittableRandom random = new SplittableRandom(seed);
    ThreadMXBean heap = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    Path path = folder.resolve("mutant.safetensors");
    int read = 0;
    int refused = 0;
    for (byte[] file : corpus) {
      readsWhole(Files.write(path, file)); // the JDK allocates at first use; no file's doing
    }
    for (long end = System.nanoTime() + 2_000_000_000L; System.nanoTime() < end; ) {
      byte[] mutant = mutated(corpus, random);
      Files.write(path, mutant);
      long before = heap.getCurrentThreadAllocatedBytes();
      try {
        if (readsWhole(path)) {
          read++;
        } else {
          refused++;
        }
      } catch (RuntimeException | Error e) {
        fail("seed %d, file %s".formatted(seed, Arrays.toString(mutant)), e);
      }
      long allocated = heap.getCurrentThreadAllocatedBytes() - before;
      assertTrue(
          allocated < (1 << 20) + 100L * mutant.length,
          "%d bytes on the heap for a file of %d".formatted(allocated, mutant.length));
    }
    assertTrue(read > 20 && refused > 100, "read %d, refused %d".formatted(read, refused));
  }

  /** Whether the file is valid; if so, all of its tensors were read. */
  private static boolean readsWhole(Path path) throws IOException {
    try (SafeTensors file = SafeTensors.open(path)) {
      long covered = 0;
      for (String name : file.names()) {
        TensorInfo info = file.info(name);
        covered += file.segment(name).toArray(ValueLayout.JAVA_BYTE).length;
        if (info.dtype().isPresent()) {
          assertEquals(info.byteSize(), file.tensor(name).segment().byteSize());
        }
      }
      assertTrue(covered <= Files.size(path) - 10);
      return true;
    } catch (SafeTensorsException refused) {
      return false;
    }
  }

  private static byte[] mutated(List<byte[]> corpus, SplittableRandom random) {
    byte[] file = corpus.get(random.nextInt(4) == 0 ? random.nextInt(corpus.size()) : 0).clone();
    int mutations = 1 + random.nextInt(3);
    for (int i = 0; i < mutations && file.length > 0; i++) {
      int at = random.nextInt(file.length);
      int length = random.nextInt(1 + Math.min(16, file.length - at));
      switch (random.nextInt(6)) {
        case 0 -> file[at] ^= (byte) (1 << random.nextInt(8));
        case 1 -> file[at] = (byte) "{}[]\",:0123456789-eE \\u".charAt(random.nextInt(22));
        case 2 -> file[at] = (byte) random.nextInt();
        case 3 -> file = spliced(file, at, at + length, new byte[0]);
        case 4 -> file = spliced(file, at, at, Arrays.copyOfRange(file, at, at + length));
        default -> {
          byte[] other = corpus.get(random.nextInt(corpus.size()));
          int from = random.nextInt(1 + other.length);
          file =
              spliced(
                  file,
                  at,
                  at + length,
                  Arrays.copyOfRange(other, from, Math.min(other.length, from + 32)));
        }
      }
      if (random.nextBoolean() && file.length >= 8) {
        // Keep the length consistent now and then, so that the mutation reaches what is behind it.
        int close = new String(file, StandardCharsets.ISO_8859_1).lastIndexOf('}');
        ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).putLong(0, Math.max(0, close - 7));
      }
    }
    return file;
  }

  private static byte[] spliced(byte[] file, int from, int to, byte[] with) {
    return ByteBuffer.allocate(file.length - (to - from) + with.length)
        .put(file, 0, from)
        .put(with)
        .put(file, to, file.length - to)
        .array();
  }
}
