package io.quern.bench.verify;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.quern.DType;
import io.quern.io.SafeTensors;
import io.quern.io.TensorInfo;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * One golden vector: a safetensors file with inputs {@code in.NAME}, expected outputs {@code
 * out.NAME} and, in its metadata, the operator, its parameters and how close each output has to
 * come. {@code out.NAME__f64} is another run of the same reference, not an output.
 */
final class GoldenCase implements AutoCloseable {
  private static final String FORMAT = "quern-golden-1";
  private static final String INPUT = "in.";
  private static final String OUTPUT = "out.";
  private static final JsonFactory JSON = new JsonFactory();

  private final SafeTensors file;
  private final String op;
  private final Map<String, Object> params;
  private final Map<String, Tolerance> tolerances;
  private final boolean required;

  private GoldenCase(SafeTensors file) throws IOException {
    this.file = file;
    if (!FORMAT.equals(file.metadata().get("format"))) {
      throw new IOException(
          "not a golden vector: format is %s, expected %s"
              .formatted(file.metadata().get("format"), FORMAT));
    }
    this.op = text("op");
    this.params = object("params");
    this.tolerances = new LinkedHashMap<>();
    object("tolerance")
        .forEach((output, value) -> tolerances.put(output, tolerance(output, value)));
    this.required =
        switch (text("level")) {
          case "required" -> true;
          case "informative" -> false;
          case String other -> throw new IOException("level is '%s'".formatted(other));
        };
  }

  /**
   * Opens a case.
   *
   * @throws IOException if the file is no golden vector, with a reason
   */
  static GoldenCase open(Path path) throws IOException {
    SafeTensors file = SafeTensors.open(path);
    try {
      return new GoldenCase(file);
    } catch (IllegalArgumentException e) {
      file.close();
      throw new IOException(e.getMessage(), e);
    } catch (IOException e) {
      file.close();
      throw e;
    }
  }

  /**
   * The operator's name, as golden vectors spell it: {@code embedding_gather}, {@code
   * tome.parse_r}.
   */
  String op() {
    return op;
  }

  /**
   * The operator's parameters: strings, longs, doubles, booleans, null, lists and maps of these.
   */
  Map<String, Object> params() {
    return params;
  }

  /**
   * The first parameter that an operator does not know, as {@code name=value}: what it asks for
   * must not be ignored.
   *
   * @param known the values that are understood, by parameter
   */
  Optional<String> unknownParameter(Map<String, Set<?>> known) {
    return params.entrySet().stream()
        .filter(
            p -> // immutable sets do not even look for null
            p.getValue() == null
                    || !known.getOrDefault(p.getKey(), Set.of()).contains(p.getValue()))
        .map(p -> p.getKey() + "=" + p.getValue())
        .findFirst();
  }

  /** False where the reference itself is ill-defined: the result is reported, but not counted. */
  boolean isRequired() {
    return required;
  }

  /** An input. */
  GoldenTensor input(String name) {
    return tensor(INPUT + name);
  }

  /** The names of the expected outputs, in file order. */
  List<String> outputs() {
    return file.names().stream()
        .filter(name -> name.startsWith(OUTPUT) && !name.endsWith("__f64"))
        .map(name -> name.substring(OUTPUT.length()))
        .toList();
  }

  /** An expected output. */
  GoldenTensor output(String name) {
    return tensor(OUTPUT + name);
  }

  /**
   * What is expected where it is no tensor: a value as those of {@link #params()}; null where it
   * is.
   */
  Object expected() throws IOException {
    String text = file.metadata().get("expected");
    if (text == null) {
      return null;
    }
    try (JsonParser json = JSON.createParser(text)) {
      json.nextToken();
      return value(json);
    }
  }

  /** How close an output has to come. */
  Tolerance tolerance(String output) {
    Tolerance tolerance = tolerances.get(output);
    if (tolerance == null) {
      throw new IllegalArgumentException("no tolerance for output '%s'".formatted(output));
    }
    return tolerance;
  }

  private GoldenTensor tensor(String name) {
    TensorInfo info = file.info(name);
    DType dtype =
        info.dtype()
            .orElseThrow(() -> new IllegalArgumentException(name + " is " + info.dtypeName()));
    return new GoldenTensor(dtype, info.shape(), file.segment(name));
  }

  @Override
  public void close() {
    file.close();
  }

  private String text(String key) throws IOException {
    String text = file.metadata().get(key);
    if (text == null) {
      throw new IOException("the metadata has no '%s'".formatted(key));
    }
    return text;
  }

  private Map<String, Object> object(String key) throws IOException {
    try (JsonParser json = JSON.createParser(text(key))) {
      json.nextToken();
      Map<String, Object> object = new LinkedHashMap<>();
      if (value(json) instanceof Map<?, ?> map) {
        map.forEach((name, value) -> object.put((String) name, value));
        return object;
      }
      throw new IOException("'%s' is no JSON object".formatted(key));
    }
  }

  private static Object value(JsonParser json) throws IOException {
    return switch (json.currentToken()) {
      case START_OBJECT -> {
        Map<String, Object> object = new LinkedHashMap<>();
        for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
          json.nextToken();
          object.put(name, value(json));
        }
        yield object;
      }
      case START_ARRAY -> {
        List<Object> list = new ArrayList<>();
        while (json.nextToken() != JsonToken.END_ARRAY) {
          list.add(value(json));
        }
        yield list;
      }
      case VALUE_NUMBER_INT -> json.getLongValue();
      case VALUE_NUMBER_FLOAT -> json.getDoubleValue();
      case VALUE_STRING -> json.getText();
      case VALUE_TRUE -> true;
      case VALUE_FALSE -> false;
      case VALUE_NULL -> null;
      case null, default -> throw new IOException("incomplete JSON");
    };
  }

  private static Tolerance tolerance(String output, Object value) {
    if (value instanceof Map<?, ?> map) {
      if ("exact".equals(map.get("kind"))) {
        return new Tolerance.Exact();
      }
      if ("allclose".equals(map.get("kind"))
          && map.get("rtol") instanceof Number rtol
          && map.get("atol") instanceof Number atol) {
        return new Tolerance.AllClose(rtol.doubleValue(), atol.doubleValue());
      }
    }
    throw new IllegalArgumentException("tolerance of '%s' is %s".formatted(output, value));
  }
}
