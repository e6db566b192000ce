package io.quern.io;

import static io.quern.io.SafeTensorsException.quoted;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonEncoding;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonParser.NumberType;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.util.MinimalPrettyPrinter;
import io.quern.tree.DraftTree;
import io.quern.tree.StaticTree;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.Reader;
import java.nio.charset.CharacterCodingException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The JSON of {@link TreeTopologies}; strict, and bounded by the length of the file. */
final class TreeTopologiesJson {
  /** Without a symbol table, where hostile names would outlive the parse. */
  private static final JsonFactory JSON =
      JsonFactory.builder()
          .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(5)
                  .maxNumberLength(20)
                  .maxStringLength(TreeTopologies.MAX_FILE_BYTES)
                  .build())
          .build();

  private static final int[] NONE = {};

  private final String file;
  private final JsonParser json;
  private String tree;

  private TreeTopologiesJson(String file, JsonParser json) {
    this.file = file;
    this.json = json;
  }

  /**
   * Reads the trees, by name, in file order.
   *
   * @param file for messages
   */
  static Map<String, TreeTopologies.Entry> read(String file, Reader text) throws IOException {
    try (JsonParser json = JSON.createParser(text)) {
      TreeTopologiesJson parse = new TreeTopologiesJson(file, json);
      try {
        return parse.file();
      } catch (JacksonException e) {
        throw parse.rejected(
            "cannot be parsed at character %d: %s"
                .formatted(json.currentLocation().getCharOffset(), e.getOriginalMessage()),
            e);
      } catch (CharacterCodingException e) {
        throw parse.rejected("is not UTF-8", e);
      }
    }
  }

  private Map<String, TreeTopologies.Entry> file() throws IOException {
    expect(json.nextToken(), JsonToken.START_OBJECT, "the file", "an object");
    String note = null;
    Map<String, TreeTopologies.Entry> trees = null;
    for (String field = json.nextFieldName(); field != null; field = json.nextFieldName()) {
      switch (field) {
        case "note" -> note = text(field, note);
        case "trees" -> {
          once(field, trees);
          trees = trees();
        }
        default -> throw rejected("unknown field " + quoted(field));
      }
    }
    if (trees == null) {
      throw rejected("trees is missing");
    }
    if (json.nextToken() != null) {
      throw rejected("continues after its closing }");
    }
    return trees;
  }

  private Map<String, TreeTopologies.Entry> trees() throws IOException {
    Map<String, TreeTopologies.Entry> trees = new LinkedHashMap<>();
    expect(json.nextToken(), JsonToken.START_ARRAY, "trees", "an array");
    while (json.nextToken() != JsonToken.END_ARRAY) {
      expect(json.currentToken(), JsonToken.START_OBJECT, "tree " + trees.size(), "an object");
      TreeTopologies.Entry entry = entry();
      if (trees.put(entry.name(), entry) != null) {
        throw rejected("named twice");
      }
      tree = null;
    }
    return trees;
  }

  private TreeTopologies.Entry entry() throws IOException {
    String source = null;
    String order = null;
    List<int[]> choices = null;
    int[] parents = null;
    Integer nodes = null;
    Integer depth = null;
    for (String field = json.nextFieldName(); field != null; field = json.nextFieldName()) {
      switch (field) {
        case "name" -> tree = text(field, tree);
        case "source" -> source = text(field, source);
        case "order" -> order = text(field, order);
        case "choices" -> {
          once(field, choices);
          choices = choices();
        }
        case "parents" -> {
          once(field, parents);
          expect(json.nextToken(), JsonToken.START_ARRAY, field, "an array");
          parents = integers(field);
        }
        case "n_nodes" -> {
          once(field, nodes);
          json.nextToken();
          nodes = integer(field);
        }
        case "max_depth" -> {
          once(field, depth);
          json.nextToken();
          depth = integer(field);
        }
        default -> throw rejected("unknown field " + quoted(field));
      }
    }
    if (tree == null) {
      throw rejected("name is missing");
    }
    if (order != null && !order.equals("sorted") && !order.equals("file")) {
      throw rejected("order is " + quoted(order) + ", not 'sorted' or 'file'");
    }
    StaticTree shape = shape(choices, "file".equals(order), parents);
    checkExtent("n_nodes", nodes, shape.tree().size());
    checkExtent("max_depth", depth, shape.tree().maxDepth());
    return new TreeTopologies.Entry(tree, source == null ? "" : source, shape);
  }

  private StaticTree shape(List<int[]> choices, boolean given, int[] parents) throws IOException {
    if (choices == null && parents == null) {
      throw rejected("choices is missing, and so is parents");
    }
    try {
      if (choices == null) {
        return StaticTree.of(DraftTree.of(parents));
      }
      StaticTree shape = given ? StaticTree.inGivenOrder(choices) : StaticTree.ofPaths(choices);
      if (parents != null && !Arrays.equals(parents, shape.tree().parents())) {
        throw rejected("parents are not those of choices");
      }
      return shape;
    } catch (IllegalArgumentException e) {
      throw rejected(e.getMessage(), e);
    }
  }

  private void checkExtent(String field, Integer said, int actual) throws IOException {
    if (said != null && said != actual) {
      throw rejected("%s is %d, but the tree has %d".formatted(field, said, actual));
    }
  }

  private List<int[]> choices() throws IOException {
    expect(json.nextToken(), JsonToken.START_ARRAY, "choices", "an array");
    List<int[]> choices = new ArrayList<>();
    while (json.nextToken() != JsonToken.END_ARRAY) {
      expect(json.currentToken(), JsonToken.START_ARRAY, "choices", "an array of arrays");
      choices.add(integers("choices"));
    }
    return choices;
  }

  /** The integers up to the end of an array that has begun. */
  private int[] integers(String field) throws IOException {
    int[] values = NONE;
    int n = 0;
    while (json.nextToken() != JsonToken.END_ARRAY) {
      if (n == values.length) {
        values = Arrays.copyOf(values, Math.max(4, 2 * n));
      }
      values[n++] = integer(field);
    }
    return Arrays.copyOf(values, n);
  }

  private int integer(String field) throws IOException {
    expect(json.currentToken(), JsonToken.VALUE_NUMBER_INT, field, "made of integers");
    if (json.getNumberType() != NumberType.INT) {
      throw rejected(field + " has " + json.getText() + ", which is not in [-2^31, 2^31)");
    }
    return json.getIntValue();
  }

  private String text(String field, String before) throws IOException {
    once(field, before);
    expect(json.nextToken(), JsonToken.VALUE_STRING, field, "a string");
    return json.getText();
  }

  private void once(String field, Object value) throws TreeTopologiesException {
    if (value != null) {
      throw rejected(field + " is given twice");
    }
  }

  private void expect(JsonToken actual, JsonToken expected, String what, String kind)
      throws TreeTopologiesException {
    if (actual != expected) {
      throw rejected(what + " is not " + kind);
    }
  }

  private TreeTopologiesException rejected(String reason) {
    return rejected(reason, null);
  }

  private TreeTopologiesException rejected(String reason, Exception cause) {
    return new TreeTopologiesException(file, tree, reason, cause);
  }

  /** One tree per line. */
  static byte[] write(Collection<TreeTopologies.Entry> trees) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (JsonGenerator json = JSON.createGenerator(bytes, JsonEncoding.UTF8)) {
      json.setPrettyPrinter(new OneTreePerLine());
      json.writeStartObject();
      json.writeArrayFieldStart("trees");
      for (TreeTopologies.Entry entry : trees) {
        json.writeStartObject();
        json.writeStringField("name", entry.name());
        json.writeStringField("source", entry.source());
        if (entry.tree().equals(StaticTree.of(entry.tree().tree()))) {
          json.writeFieldName("parents");
          writeIntegers(json, entry.tree().tree().parents());
        } else {
          json.writeStringField("order", "file");
          json.writeArrayFieldStart("choices");
          for (int[] path : entry.tree().paths()) {
            writeIntegers(json, path);
          }
          json.writeEndArray();
        }
        json.writeEndObject();
      }
      json.writeEndArray();
      json.writeEndObject();
      json.writeRaw('\n');
    }
    return bytes.toByteArray();
  }

  private static void writeIntegers(JsonGenerator json, int[] values) throws IOException {
    json.writeArray(values, 0, values.length);
  }

  /** A line for each element of the outermost array. */
  private static final class OneTreePerLine extends MinimalPrettyPrinter {
    private static final long serialVersionUID = 1L;

    private int arrays;

    @Override
    public void writeStartArray(JsonGenerator json) throws IOException {
      super.writeStartArray(json);
      if (arrays++ == 0) {
        json.writeRaw('\n');
      }
    }

    @Override
    public void writeArrayValueSeparator(JsonGenerator json) throws IOException {
      json.writeRaw(arrays == 1 ? ",\n" : ",");
    }

    @Override
    public void writeEndArray(JsonGenerator json, int values) throws IOException {
      super.writeEndArray(json, values);
      arrays--;
    }
  }
}
