package io.quern.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
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

/**
 * Files made to break a reader: each ends in a {@link TreeTopologiesException}, and costs little.
 */
class HostileTreeTopologiesTest {
  private static final String VALID =
      "{\"note\":\"texts, so that most of a file may be changed and remains valid: read or refused\","
          + "\"trees\":[{\"name\":\"x\",\"source\":\"somebody/something@0123456 some/file.py\",\"order\":\"file\",\"n_nodes\":4,"
          + "\"max_depth\":2,\"choices\":[[0],[1],[0,0]],\"parents\":[-1,0,0,1]},"
          + "{\"name\":\"y\",\"parents\":[-1,0,1,2,3]}]}";

  @TempDir static Path folder;

  /**
   * A file and what must be said of it.
   *
   * @param tree the tree that the message has to name, or null
   * @param reason a part of the reason
   */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Hostile(String name, byte[] file, String tree, String reason) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static Hostile file(String name, String text, String reason) {
    return new Hostile(name, text.getBytes(StandardCharsets.UTF_8), null, reason);
  }

  /** One tree {@code x} with these fields. */
  private static Hostile tree(String name, String fields, String reason) {
    String text = "{\"trees\":[{\"name\":\"x\"," + fields + "}]}";
    return new Hostile(name, text.getBytes(StandardCharsets.UTF_8), "x", reason);
  }

  static List<Hostile> hostileFiles() {
    byte[] invalidUtf8 = VALID.getBytes(StandardCharsets.UTF_8);
    invalidUtf8[12] = (byte) 0xC0;
    String longPath = "[" + "0,".repeat(5000) + "0]";
    return List.of(
        file("empty", "", "not an object"),
        file("spaces", "   ", "not an object"),
        file("array", "[]", "the file is not an object"),
        file("no trees", "{}", "trees is missing"),
        file("null trees", "{\"trees\":null}", "trees is not an array"),
        file("trees twice", "{\"trees\":[],\"trees\":[]}", "trees is given twice"),
        file("note twice", "{\"note\":\"\",\"note\":\"\",\"trees\":[]}", "note is given twice"),
        file("note number", "{\"note\":1,\"trees\":[]}", "note is not a string"),
        file("unknown field", "{\"tree\":[]}", "unknown field 'tree'"),
        file("two objects", "{\"trees\":[]}{}", "continues after its closing }"),
        file("trailing comma", "{\"trees\":[],}", "cannot be parsed"),
        file("comment", "{/**/\"trees\":[]}", "cannot be parsed"),
        file("cut off", VALID.substring(0, VALID.length() - 1), "cannot be parsed"),
        file("deep", "{\"trees\":" + "[".repeat(100_000), "tree 0 is not an object"),
        file("deep objects", "{\"note\":" + "{\"a\":".repeat(100_000), "note is not a string"),
        file("tree is an array", "{\"trees\":[[]]}", "tree 0 is not an object"),
        file("tree is null", "{\"trees\":[null]}", "tree 0 is not an object"),
        file("nameless", "{\"trees\":[{\"parents\":[-1]}]}", "name is missing"),
        file("name number", "{\"trees\":[{\"name\":1}]}", "name is not a string"),
        file("long field", "{\"" + "x".repeat(60_000) + "\":1}", "cannot be parsed"),
        new Hostile("not UTF-8", invalidUtf8, null, "is not UTF-8"),
        new Hostile("UTF-16", VALID.getBytes(StandardCharsets.UTF_16LE), null, "cannot be parsed"),
        tree("name twice", "\"name\":\"x\",\"parents\":[-1]", "name is given twice"),
        tree(
            "same name twice", "\"parents\":[-1]},{\"name\":\"x\",\"parents\":[-1]", "named twice"),
        tree("no shape", "\"source\":\"s\"", "choices is missing, and so is parents"),
        tree("source twice", "\"source\":\"\",\"source\":\"\"", "source is given twice"),
        tree("order", "\"order\":\"random\",\"choices\":[]", "order is 'random'"),
        tree("choices twice", "\"choices\":[],\"choices\":[]", "choices is given twice"),
        tree("parents twice", "\"parents\":[-1],\"parents\":[-1]", "parents is given twice"),
        tree("unknown tree field", "\"width\":1", "unknown field 'width'"),
        tree("choices number", "\"choices\":1", "choices is not an array"),
        tree("choices of numbers", "\"choices\":[0]", "choices is not an array of arrays"),
        tree("choices of objects", "\"choices\":[{}]", "choices is not an array of arrays"),
        tree("choices of strings", "\"choices\":[[\"0\"]]", "choices is not made of integers"),
        tree("choices of floats", "\"choices\":[[0.0]]", "choices is not made of integers"),
        tree("deep choices", "\"choices\":" + "[".repeat(100_000), "nesting depth"),
        tree("an empty path", "\"choices\":[[]]", "a path is empty"),
        tree("a path twice", "\"choices\":[[0],[0]]", "path [0] is given twice"),
        tree("no prefix", "\"choices\":[[0,0]]", "not preceded by its prefix of length 1"),
        tree("a long path", "\"choices\":[" + longPath + "]", "… of 5001"),
        tree(
            "child before parent",
            "\"order\":\"file\",\"choices\":[[0,0],[0]]",
            "not preceded by its prefix of length 1"),
        tree("negative rank", "\"choices\":[[-1]]", "has a negative rank"),
        tree("rank over 32 bit", "\"choices\":[[2147483648]]", "choices has 2147483648"),
        tree("rank over 64 bit", "\"choices\":[[99999999999999999999]]", "choices has 9999"),
        tree("rank of 5000 digits", "\"choices\":[[" + "9".repeat(5000) + "]]", "cannot be parsed"),
        tree("no nodes", "\"parents\":[]", "no nodes"),
        tree("root with a parent", "\"parents\":[0]", "the parent of node 0 is 0"),
        tree("two roots", "\"parents\":[-1,-1]", "the parent of node 1 is -1"),
        tree("a cycle", "\"parents\":[-1,2,1]", "the parent of node 1 is 2"),
        tree("its own parent", "\"parents\":[-1,1]", "the parent of node 1 is 1"),
        tree("far parent", "\"parents\":[-1,2147483647]", "the parent of node 1 is 2147483647"),
        tree("other parents", "\"choices\":[[0]],\"parents\":[-1]", "not those of choices"),
        tree("other size", "\"parents\":[-1],\"n_nodes\":2", "n_nodes is 2, but the tree has 1"),
        tree("other depth", "\"parents\":[-1],\"max_depth\":1", "max_depth is 1"),
        tree("size twice", "\"n_nodes\":1,\"n_nodes\":1", "n_nodes is given twice"),
        tree("size string", "\"n_nodes\":\"1\"", "n_nodes is not made of integers"));
  }

  @ParameterizedTest
  @MethodSource("hostileFiles")
  void isRejectedWithFileTreeAndReason(Hostile hostile) throws IOException {
    Path path = Files.write(folder.resolve("hostile.json"), hostile.file);
    TreeTopologiesException e =
        assertThrows(TreeTopologiesException.class, () -> TreeTopologies.read(path));
    assertTrue(e.reason().contains(hostile.reason), e.reason());
    assertEquals(hostile.tree, e.tree().orElse(null));
    assertEquals(path.toString(), e.file());
    assertTrue(e.getMessage().startsWith(path + ": "), e.getMessage());
    assertTrue(e.getMessage().length() < path.toString().length() + 800, e.getMessage());
  }

  /** A truncated file is never a shorter valid one, wherever it is cut. */
  @Test
  void everyTruncationIsRejected() throws IOException {
    byte[] file = VALID.getBytes(StandardCharsets.UTF_8);
    Path path = folder.resolve("cut.json");
    for (int length = 0; length < file.length; length++) {
      Files.write(path, Arrays.copyOf(file, length));
      assertThrows(TreeTopologiesException.class, () -> TreeTopologies.read(path), "at " + length);
    }
    assertEquals(List.of("x", "y"), TreeTopologies.read(Files.write(path, file)).names());
  }

  @Test
  void aFileThatIsTooLongIsNotParsed() throws IOException {
    Path path = folder.resolve("long.json");
    byte[] spaces = new byte[1 << 20];
    Arrays.fill(spaces, (byte) ' ');
    try (OutputStream out = Files.newOutputStream(path)) {
      for (int i = 0; i < TreeTopologies.MAX_FILE_BYTES; i += spaces.length) {
        out.write(spaces);
      }
      out.write(VALID.getBytes(StandardCharsets.UTF_8));
    }
    TreeTopologiesException e =
        assertThrows(TreeTopologiesException.class, () -> TreeTopologies.read(path));
    assertEquals("longer than 16777216 bytes", e.reason());
    Files.delete(path);
  }

  /** The densest files there are: what they cost is a multiple of their length. */
  @Test
  void largeFilesCostWhatTheirLengthAccountsFor() throws IOException {
    ThreadMXBean heap = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    Path path = folder.resolve("large.json");
    StringBuilder choices = new StringBuilder("{\"trees\":[{\"name\":\"x\",\"choices\":[[0]");
    StringBuilder parents = new StringBuilder("{\"trees\":[{\"name\":\"x\",\"parents\":[-1");
    for (int i = 1; i < 100_000; i++) {
      choices.append(",[").append(i).append(']');
      parents.append(",0");
    }
    for (StringBuilder text : List.of(choices, parents)) {
      Files.writeString(path, text.append("]}]}"));
      long before = heap.getCurrentThreadAllocatedBytes();
      assertTrue(TreeTopologies.read(path).tree("x").tree().size() >= 100_000);
      long allocated = heap.getCurrentThreadAllocatedBytes() - before;
      assertTrue(
          allocated < (1 << 20) + 100L * text.length(),
          "%d bytes on the heap for a file of %d".formatted(allocated, text.length()));
    }
  }

  /** Mutates valid and hostile files for two seconds. */
  @Test
  void mutationsAreReadOrRejected() throws IOException {
    List<byte[]> corpus = new ArrayList<>(List.of(VALID.getBytes(StandardCharsets.UTF_8)));
    hostileFiles().stream().map(Hostile::file).filter(f -> f.length < 4096).forEach(corpus::add);
    long seed = Long.getLong("quern.seed", 20260101L);
    SplittableRandom random = new SplittableRandom(seed);
    ThreadMXBean heap = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    Path path = folder.resolve("mutant.json");
    int read = 0;
    int refused = 0;
    for (byte[] file : corpus) {
      isRead(Files.write(path, file)); // the JDK allocates at first use; no file's doing
    }
    for (long end = System.nanoTime() + 2_000_000_000L; System.nanoTime() < end; ) {
      byte[] mutant = mutated(corpus, random);
      Files.write(path, mutant);
      long before = heap.getCurrentThreadAllocatedBytes();
      try {
        if (isRead(path)) {
          read++;
        } else {
          refused++;
        }
      } catch (RuntimeException | Error e) {
        fail("seed %d, file %s".formatted(seed, new String(mutant, StandardCharsets.UTF_8)), e);
      }
      long allocated = heap.getCurrentThreadAllocatedBytes() - before;
      assertTrue(
          allocated < (1 << 20) + 100L * mutant.length,
          "%d bytes on the heap for a file of %d".formatted(allocated, mutant.length));
    }
    assertTrue(read > 5 && refused > 50, "read %d, refused %d".formatted(read, refused));
  }

  private static boolean isRead(Path path) throws IOException {
    try {
      TreeTopologies trees = TreeTopologies.read(path);
      trees.names().forEach(name -> assertTrue(trees.tree(name).tree().size() > 0));
      return true;
    } catch (TreeTopologiesException refused) {
      return false;
    }
  }

  private static byte[] mutated(List<byte[]> corpus, SplittableRandom random) {
    byte[] file = corpus.get(random.nextInt(4) == 0 ? random.nextInt(corpus.size()) : 0).clone();
    int mutations = 1 + random.nextInt(3);
    for (int i = 0; i < mutations && file.length > 0; i++) {
      int at = random.nextInt(file.length);
      int to = at + random.nextInt(1 + Math.min(16, file.length - at));
      switch (random.nextInt(5)) {
        case 0 -> file[at] ^= (byte) (1 << random.nextInt(8));
        case 1 -> file[at] = (byte) "{}[]\",:0123456789-eE \\u".charAt(random.nextInt(22));
        case 2 -> file = spliced(file, at, to, new byte[0]);
        case 3 -> file = spliced(file, at, at, Arrays.copyOfRange(file, at, to));
        default -> {
          byte[] other = corpus.get(random.nextInt(corpus.size()));
          int from = random.nextInt(1 + other.length);
          file =
              spliced(
                  file, at, to, Arrays.copyOfRange(other, from, Math.min(other.length, from + 32)));
        }
      }
    }
    return file;
  }

  private static byte[] spliced(byte[] file, int from, int to, byte[] with) {
    byte[] spliced = new byte[file.length - (to - from) + with.length];
    System.arraycopy(file, 0, spliced, 0, from);
    System.arraycopy(with, 0, spliced, from, with.length);
    System.arraycopy(file, to, spliced, from + with.length, file.length - to);
    return spliced;
  }
}
