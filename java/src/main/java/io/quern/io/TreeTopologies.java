package io.quern.io;

import static io.quern.io.SafeTensorsException.quoted;

import io.quern.tree.StaticTree;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Named static draft trees, and their JSON:
 *
 * <pre>{@code
 * {"note": TEXT, "trees": [
 *   {"name": TEXT, "source": TEXT, "order": "sorted" or "file", "choices": [[0], [1], [0, 0], …]},
 *   {"name": TEXT, "source": TEXT, "parents": [-1, 0, 0, 1, …]}]}
 * }</pre>
 *
 * <p>{@code choices} are the paths of ranks of {@link StaticTree}, whose nodes are sorted by
 * (length, lexicographic) unless {@code order} is {@code file}; {@code parents} are in the order of
 * the nodes, and a node's rank is its place among its siblings. A tree has one of them, or both if
 * they agree. Note, source and order may be left out; {@code n_nodes}, the root counted, and {@code
 * max_depth} are checked if they are there. Immutable and thread-safe.
 */
public final class TreeTopologies {
  /** The longest file accepted. */
  public static final int MAX_FILE_BYTES = 16 << 20;

  private static final String PUBLISHED = "published-trees.json";

  private final Map<String, Entry> entries;

  /**
   * A tree and where it comes from.
   *
   * @param source of no set form; empty if unknown
   */
  public record Entry(String name, String source, StaticTree tree) {}

  private TreeTopologies(Map<String, Entry> entries) {
    this.entries = entries;
  }

  /**
   * A list of trees.
   *
   * @throws IllegalArgumentException if two have the same name
   */
  public static TreeTopologies of(List<Entry> entries) {
    Map<String, Entry> byName = new LinkedHashMap<>();
    for (Entry entry : entries) {
      if (byName.put(entry.name, entry) != null) {
        throw new IllegalArgumentException("two trees are called " + quoted(entry.name));
      }
    }
    return new TreeTopologies(Collections.unmodifiableMap(byName));
  }

  /**
   * The static trees that Medusa, EAGLE-1, LANTERN, Token Recycling and Sequoia were published
   * with: {@code medusa/mc_sim_7b_63}, {@code token_recycling/2.2.2}, …
   */
  public static TreeTopologies published() {
    return Published.TREES;
  }

  /** Read when somebody asks for it. */
  private static final class Published {
    static final TreeTopologies TREES = load();

    private static TreeTopologies load() {
      try (InputStream in = TreeTopologies.class.getResourceAsStream(PUBLISHED)) {
        return parse(PUBLISHED, in.readAllBytes());
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  /**
   * Reads a file whole.
   *
   * @throws TreeTopologiesException if it is no valid list of trees, with the reason: a field is
   *     unknown, missing or given twice, a name is given twice, a tree is none, or the file is
   *     longer than {@link #MAX_FILE_BYTES}
   * @throws IOException if it cannot be read
   */
  public static TreeTopologies read(Path file) throws IOException {
    byte[] bytes;
    try (InputStream in = Files.newInputStream(file)) {
      bytes = in.readNBytes(MAX_FILE_BYTES + 1);
    }
    if (bytes.length > MAX_FILE_BYTES) {
      throw new TreeTopologiesException(
          file.toString(), null, "longer than %d bytes".formatted(MAX_FILE_BYTES), null);
    }
    return parse(file.toString(), bytes);
  }

  private static TreeTopologies parse(String file, byte[] bytes) throws IOException {
    // A decoder made this way reports malformed input.
    try (InputStreamReader text =
        new InputStreamReader(
            new ByteArrayInputStream(bytes), StandardCharsets.UTF_8.newDecoder())) {
      return new TreeTopologies(Collections.unmodifiableMap(TreeTopologiesJson.read(file, text)));
    }
  }

  /**
   * Writes a file, one tree per line: as {@code parents} where ranks are places among siblings,
   * else as {@code choices}.
   *
   * @throws IOException if it cannot be written
   */
  public void write(Path file) throws IOException {
    Files.write(file, TreeTopologiesJson.write(entries.values()));
  }

  /** The names, in the order of the file. */
  public List<String> names() {
    return List.copyOf(entries.keySet());
  }

  /**
   * A tree by its name.
   *
   * @throws IllegalArgumentException if there is none of that name
   */
  public StaticTree tree(String name) {
    return entry(name).tree;
  }

  /**
   * A tree, with where it comes from.
   *
   * @throws IllegalArgumentException if there is none of that name
   */
  public Entry entry(String name) {
    Entry entry = entries.get(name);
    if (entry == null) {
      throw new IllegalArgumentException(
          "no tree is called %s; there are %s".formatted(quoted(name), String.join(", ", names())));
    }
    return entry;
  }
}
