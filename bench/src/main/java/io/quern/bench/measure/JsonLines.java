package io.quern.bench.measure;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Map;

/**
 * Writes one JSON object per line, each in one piece, so that an interrupted run leaves whole
 * lines. Thread-safe: the last line of an interrupted run comes from another thread.
 */
final class JsonLines implements Closeable {
  private static final JsonFactory FACTORY = new JsonFactory();

  private final OutputStream out;
  private boolean closed;

  /** Writes to {@code out}, which should not buffer, and closes it in the end. */
  JsonLines(OutputStream out) {
    this.out = out;
  }

  /**
   * Writes a line, or nothing after {@link #close()}.
   *
   * @param object strings, numbers, booleans, nulls, and maps and lists of them
   */
  synchronized void write(Map<String, ?> object) throws IOException {
    if (closed) {
      return;
    }
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    try (JsonGenerator json = FACTORY.createGenerator(line)) {
      value(json, object);
      json.writeRaw('\n');
    }
    out.write(line.toByteArray());
  }

  private static void value(JsonGenerator json, Object value) throws IOException {
    switch (value) {
      case null -> json.writeNull();
      case String text -> json.writeString(text);
      case Boolean flag -> json.writeBoolean(flag);
      case Integer number -> json.writeNumber(number);
      case Long number -> json.writeNumber(number);
      case Double number -> json.writeNumber(number);
      case Map<?, ?> map -> {
        json.writeStartObject();
        for (Map.Entry<?, ?> entry : map.entrySet()) {
          json.writeFieldName((String) entry.getKey());
          value(json, entry.getValue());
        }
        json.writeEndObject();
      }
      case Iterable<?> list -> {
        json.writeStartArray();
        for (Object element : list) {
          value(json, element);
        }
        json.writeEndArray();
      }
      default -> throw new IllegalArgumentException("no JSON for " + value.getClass());
    }
  }

  @Override
  public synchronized void close() throws IOException {
    closed = true;
    out.close();
  }
}
