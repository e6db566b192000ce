package io.quern.bench.measure;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class JsonLinesTest {
  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

  /** Reads one value the way any JSON reader would. */
  private static Object read(JsonParser parser) throws IOException {
    return switch (parser.currentToken()) {
      case START_OBJECT -> {
        Map<String, Object> map = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
          String key = parser.currentName();
          parser.nextToken();
          map.put(key, read(parser));
        }
        yield map;
      }
      case START_ARRAY -> {
        List<Object> list = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
          list.add(read(parser));
        }
        yield list;
      }
      case VALUE_NULL -> null;
      case VALUE_TRUE -> true;
      case VALUE_FALSE -> false;
      case VALUE_STRING -> parser.getText();
      default -> parser.getNumberValue();
    };
  }

  private List<Object> lines() throws IOException {
    List<Object> values = new ArrayList<>();
    for (String line : bytes.toString(StandardCharsets.UTF_8).lines().toList()) {
      try (JsonParser parser = new JsonFactory().createParser(line)) {
        parser.nextToken();
        values.add(read(parser));
        assertEquals(null, parser.nextToken(), "more than one value in " + line);
      }
    }
    return values;
  }

  @Test
  void everyLineIsOneObjectAndSurvivesReading() throws IOException {
    Map<String, Object> first = new LinkedHashMap<>();
    first.put("text", "tab\t quote\" line\n µ");
    first.put("int", 7);
    first.put("long", 1L << 40);
    first.put("double", 0.1);
    first.put("flag", false);
    first.put("nothing", null);
    first.put("list", List.of(1, "two", List.of()));
    first.put("map", Map.of("deep", Map.of("er", 3.5)));
    try (JsonLines json = new JsonLines(bytes)) {
      json.write(first);
      json.write(Map.of("second", true));
    }
    assertEquals(List.of(first, Map.of("second", true)), lines());
  }

  @Test
  void notANumberDoesNotBreakTheLine() throws IOException {
    try (JsonLines json = new JsonLines(bytes)) {
      json.write(Map.of("ratio", Double.NaN));
    }
    assertEquals(List.of(Map.of("ratio", "NaN")), lines());
  }

  @Test
  void whatJsonLacksIsRefused() throws IOException {
    try (JsonLines json = new JsonLines(bytes)) {
      assertThrows(IllegalArgumentException.class, () -> json.write(Map.of("x", new Object())));
    }
  }
}
