package io.quern.bench.measure;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.util.MinimalPrettyPrinter;
import java.io.Closeable;
import java.io.IOException;
import java.io.Writer;
import java.util.Map;

/** Writes one JSON object per line. */
final class JsonLines implements Closeable {
  private final JsonGenerator json;

  JsonLines(Writer writer) throws IOException {
    json = new JsonFactory().createGenerator(writer);
    json.setPrettyPrinter(new MinimalPrettyPrinter(""));
  }

  /**
   * Writes a line and hands it to the writer at once, so that an interrupted run keeps its lines.
   *
   * @param object strings, numbers, booleans, nulls, and maps and lists of them
   */
  void write(Map<String, ?> object) throws IOException {
    value(object);
    json.writeRaw('\n');
    json.flush();
  }

  private void value(Object value) throws IOException {
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
          value(entry.getValue());
        }
        json.writeEndObject();
      }
      case Iterable<?> list -> {
        json.writeStartArray();
        for (Object element : list) {
          value(element);
        }
        json.writeEndArray();
      }
      default -> throw new IllegalArgumentException("no JSON for " + value.getClass());
    }
  }

  @Override
  public void close() throws IOException {
    json.close();
  }
}
