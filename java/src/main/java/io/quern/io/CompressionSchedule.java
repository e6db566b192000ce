package io.quern.io;

import static io.quern.io.SafeTensorsException.quoted;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How many tokens a vision transformer keeps, block by block (DiffRate). Numbers include the class
 * token. They need not descend: what is left after a block is the least of what was there and of
 * its two numbers.
 *
 * @param prune tokens kept by importance in each block; empty if none is pruned
 * @param keep tokens left by merging in each block
 */
public record CompressionSchedule(List<Integer> prune, List<Integer> keep) {
  /** The published file has 16 KiB. */
  static final int MAX_BYTES = 1 << 20;

  static final int MAX_BLOCKS = 4096;
  static final int MAX_TOKENS = 1 << 24;

  private static final JsonFactory JSON =
      JsonFactory.builder()
          .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .streamReadConstraints(
              StreamReadConstraints.builder().maxNestingDepth(4).maxNumberLength(20).build())
          .build();

  /** Checks the numbers. */
  public CompressionSchedule {
    prune = List.copyOf(prune);
    keep = List.copyOf(keep);
    if (!prune.isEmpty() && prune.size() != keep.size()) {
      throw new IllegalArgumentException(
          "%d blocks pruned, %d merged, expected as many".formatted(prune.size(), keep.size()));
    }
    if (keep.isEmpty() || keep.size() > MAX_BLOCKS) {
      throw new IllegalArgumentException(
          "%d blocks, expected 1 to %d".formatted(keep.size(), MAX_BLOCKS));
    }
    for (List<Integer> list : List.of(prune, keep)) {
      for (int tokens : list) {
        if (tokens < 1 || tokens > MAX_TOKENS) {
          throw new IllegalArgumentException(
              "%d tokens kept, expected 1 to %d".formatted(tokens, MAX_TOKENS));
        }
      }
    }
  }

  /**
   * What counts for the work of a plain vision transformer.
   *
   * @param dim of a token
   * @param patches tokens without the class token
   * @param patchSize pixels of a patch's side
   * @param classes outputs of the head
   */
  public record VisionTransformer(int dim, int patches, int patchSize, int classes) {}

  /** Number of blocks. */
  public int blocks() {
    return keep.size();
  }

  /** Tokens kept by importance in a block; all of them where none is pruned. */
  public int prune(int block) {
    return prune.isEmpty() ? Integer.MAX_VALUE : prune.get(block);
  }

  /** Tokens left after each block of {@code tokens} before the first. */
  public List<Integer> tokensAfter(int tokens) {
    List<Integer> after = new ArrayList<>();
    int left = tokens;
    for (int block = 0; block < blocks(); block++) {
      left = Math.min(left, Math.min(prune(block), keep.get(block)));
      after.add(left);
    }
    return after;
  }

  /**
   * Multiplications of a forward pass, added in F32 as published: a block's attention {@code 4NC² +
   * 2N²C} of the tokens before, its MLP {@code 8N′C²} of those after; the patches' embedding, the
   * class token counted; the head.
   */
  public float flops(VisionTransformer model) {
    float dim = model.dim;
    float tokens = model.patches + 1;
    float flops = tokens * dim * (3f * model.patchSize * model.patchSize);
    for (int after : tokensAfter(model.patches + 1)) {
      flops += 4 * tokens * dim * dim + 2 * tokens * tokens * dim;
      flops += 8 * after * dim * dim;
      tokens = after;
    }
    return flops + dim * model.classes;
  }

  /** ToMe's merges of each layer: {@code r}, in all of them. */
  public static int[] merges(int layers, int r) {
    return merges(layers, r, 0);
  }

  /**
   * ToMe's merges of each layer, from {@code r (1 − inflect)} in the first to the rest of {@code
   * 2r} in the last, each truncated toward zero; with one layer the first.
   */
  public static int[] merges(int layers, int r, double inflect) {
    int least = (int) (r * (1 - inflect));
    double step = layers == 1 ? 0 : (double) (2L * r - 2L * least) / (layers - 1);
    int[] merges = new int[layers];
    for (int layer = 0; layer < layers; layer++) {
      merges[layer] = (int) (least + step * layer);
    }
    return merges;
  }

  /** ToMe's merges of each layer from a list, which is filled up with 0 and never cut. */
  public static int[] merges(int layers, int[] list) {
    return java.util.Arrays.copyOf(list, Math.max(layers, list.length));
  }

  /**
   * Reads DiffRate's published form: {@code {MODEL: {GFLOPS: {"prune_kept_num": "[…]",
   * "merge_kept_num": "[…]"}}}}, whose lists are texts, {@code "None"} where nothing is pruned.
   *
   * @return by model and by target, in file order
   * @throws CompressionScheduleException if the file is not that, with a reason
   */
  public static Map<String, Map<String, CompressionSchedule>> readPublished(Path file)
      throws IOException {
    return new Reader(file).published();
  }

  /**
   * Reads {@code {"prune": […], "keep": […]}}; {@code prune} may be left out.
   *
   * @throws CompressionScheduleException if the file is not that, with a reason
   */
  public static CompressionSchedule read(Path file) throws IOException {
    return new Reader(file).plain();
  }

  private static final class Reader {
    private final Path file;
    private final byte[] text;

    Reader(Path file) throws IOException {
      this.file = file;
      try (InputStream in = Files.newInputStream(file)) {
        text = in.readNBytes(MAX_BYTES + 1);
      }
      if (text.length > MAX_BYTES) {
        throw rejected("more than %d bytes".formatted(MAX_BYTES), null);
      }
    }

    private interface Body<T> {
      T of(JsonParser json) throws IOException;
    }

    private <T> T parsed(Body<T> body) throws IOException {
      try (JsonParser json = JSON.createParser(new String(text, StandardCharsets.UTF_8))) {
        json.nextToken();
        T result = body.of(json);
        if (json.nextToken() != null) {
          throw rejected("there is more after the end", null);
        }
        return result;
      } catch (JacksonException e) {
        throw rejected(
            "cannot be parsed at character %d: %s"
                .formatted(e.getLocation().getCharOffset(), e.getOriginalMessage()),
            e);
      } catch (IllegalArgumentException e) {
        throw rejected(e.getMessage(), e);
      }
    }

    Map<String, Map<String, CompressionSchedule>> published() throws IOException {
      return parsed(
          json ->
              object(
                  json,
                  (model, ignored) ->
                      object(
                          json,
                          (target, alsoIgnored) -> {
                            Map<String, List<Integer>> lists =
                                object(json, (name, token) -> list(text(json, name)));
                            return schedule(
                                lists, "prune_kept_num", "merge_kept_num", model + " " + target);
                          })));
    }

    CompressionSchedule plain() throws IOException {
      return parsed(
          json -> {
            Map<String, List<Integer>> lists = object(json, (name, token) -> numbers(json, name));
            lists.putIfAbsent("prune", List.of());
            return schedule(lists, "prune", "keep", "the schedule");
          });
    }

    private CompressionSchedule schedule(
        Map<String, List<Integer>> lists, String prune, String keep, String where)
        throws IOException {
      if (lists.size() != 2 || !lists.containsKey(prune) || !lists.containsKey(keep)) {
        throw rejected(
            "%s has %s, expected %s and %s"
                .formatted(quoted(where), quoted(lists.keySet().toString()), prune, keep),
            null);
      }
      try {
        return new CompressionSchedule(lists.get(prune), lists.get(keep));
      } catch (IllegalArgumentException e) {
        throw rejected(quoted(where) + ": " + e.getMessage(), e);
      }
    }

    private interface Entry<T> {
      T of(String name, JsonToken value) throws IOException;
    }

    private <T> Map<String, T> object(JsonParser json, Entry<T> entry) throws IOException {
      if (json.currentToken() != JsonToken.START_OBJECT) {
        throw rejected("%s where an object was expected".formatted(json.currentToken()), null);
      }
      Map<String, T> object = new LinkedHashMap<>();
      for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
        object.put(name, entry.of(name, json.nextToken()));
      }
      if (json.currentToken() != JsonToken.END_OBJECT) {
        throw rejected("an object does not end", null);
      }
      return object;
    }

    private String text(JsonParser json, String name) throws IOException {
      if (json.currentToken() != JsonToken.VALUE_STRING) {
        throw rejected(
            "%s is %s, expected a text".formatted(quoted(name), json.currentToken()), null);
      }
      return json.getText();
    }

    private List<Integer> numbers(JsonParser json, String name) throws IOException {
      if (json.currentToken() != JsonToken.START_ARRAY) {
        throw rejected(
            "%s is %s, expected a list".formatted(quoted(name), json.currentToken()), null);
      }
      List<Integer> numbers = new ArrayList<>();
      while (json.nextToken() != JsonToken.END_ARRAY) {
        if (json.currentToken() != JsonToken.VALUE_NUMBER_INT) {
          throw rejected(
              "%s in %s, expected whole numbers".formatted(json.currentToken(), quoted(name)),
              null);
        }
        numbers.add(json.getIntValue());
      }
      return numbers;
    }

    /** The text of a list of whole numbers, or None. */
    private List<Integer> list(String text) throws IOException {
      if (text.equals("None")) {
        return Collections.emptyList();
      }
      String trimmed = text.strip();
      if (!trimmed.startsWith("[") || !trimmed.endsWith("]") || trimmed.length() < 2) {
        throw rejected(quoted(text) + " is no list", null);
      }
      List<Integer> numbers = new ArrayList<>();
      for (String number : trimmed.substring(1, trimmed.length() - 1).split(",", -1)) {
        try {
          numbers.add(Integer.parseInt(number.strip()));
        } catch (NumberFormatException e) {
          throw rejected(quoted(number) + " in a list is no number", e);
        }
      }
      return numbers;
    }

    private CompressionScheduleException rejected(String reason, Throwable cause) {
      return new CompressionScheduleException(file, reason, cause);
    }
  }
}
