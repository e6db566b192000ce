package io.quern.bench.report;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import io.quern.bench.BadArgumentsException;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A file of results: one JSON object per line. What a file may hold is bounded, so that a broken or
 * a hostile one is an error with file and line and nothing worse.
 *
 * @param figures verified ones, in the order of the file
 * @param refused cases that were not timed, since contenders disagreed
 * @param runs the last lines of runs
 * @param downcalls costs of calls
 */
record ResultFile(List<Figure> figures, List<Line> refused, List<Line> runs, List<Line> downcalls) {
  private static final int MOST_LINE_BYTES = 1 << 20;
  private static final int MOST_LINES = 1_000_000;
  private static final int MOST_DEPTH = 16;
  private static final int MOST_TEXT = 1 << 16;
  private static final int MOST_DIGITS = 64;

  private static final JsonFactory FACTORY =
      JsonFactory.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(MOST_DEPTH)
                  .maxStringLength(MOST_TEXT)
                  .maxNameLength(MOST_TEXT)
                  .maxNumberLength(MOST_DIGITS)
                  .build())
          .build();

  /** Reads files as if they were one. */
  static ResultFile read(List<String> names) throws IOException {
    ResultFile all =
        new ResultFile(new ArrayList<>(), new ArrayList<>(), new ArrayList<>(), new ArrayList<>());
    for (String name : names) {
      lines(name).forEach(all::add);
    }
    if (all.figures.isEmpty() && all.refused.isEmpty()) {
      throw new BadArgumentsException("no figures in " + String.join(", ", names));
    }
    return all;
  }

  /** The lines of a file, whatever their schema; blank ones are none. */
  static List<Line> lines(String name) throws IOException {
    List<Line> lines = new ArrayList<>();
    try (InputStream in = new BufferedInputStream(Files.newInputStream(Path.of(name)))) {
      int number = 1;
      for (byte[] line = nextLine(name, number, in);
          line != null;
          line = nextLine(name, number, in)) {
        if (number > MOST_LINES) {
          throw new BadArgumentsException("%s: more than %d lines".formatted(name, MOST_LINES));
        }
        if (!new String(line, StandardCharsets.ISO_8859_1).isBlank()) {
          lines.add(new Line(name, number, object(name, number, line)));
        }
        number++;
      }
    } catch (NoSuchFileException e) {
      throw new BadArgumentsException("there is no file " + name, e);
    }
    return lines;
  }

  private void add(Line line) {
    String schema = line.text("schema");
    switch (schema) {
      case Figure.SCHEMA -> {
        if (line.flag("verified")) {
          figures.add(Figure.of(line));
        } else {
          refused.add(line);
        }
      }
      case "quern-bench-run/1" -> runs.add(line);
      case "quern-downcall/1" -> {
        line.text("function");
        line.interval("ns");
        downcalls.add(line);
      }
      default -> throw line.wrong("schema '%s' is not known here".formatted(schema));
    }
  }

  /** The bytes up to the next line feed, or null at the end. */
  private static byte[] nextLine(String name, int number, InputStream in) throws IOException {
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    for (int b = in.read(); b != '\n'; b = in.read()) {
      if (b < 0) {
        return line.size() == 0 ? null : line.toByteArray();
      }
      if (line.size() == MOST_LINE_BYTES) {
        throw new BadArgumentsException(
            "%s:%d: longer than %d bytes".formatted(name, number, MOST_LINE_BYTES));
      }
      line.write(b);
    }
    return line.toByteArray();
  }

  @SuppressWarnings("unchecked") // JSON's names are texts
  private static Map<String, Object> object(String name, int number, byte[] bytes)
      throws IOException {
    String text;
    try {
      text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
    } catch (CharacterCodingException e) {
      throw new BadArgumentsException("%s:%d: not UTF-8".formatted(name, number), e);
    }
    try (JsonParser parser = FACTORY.createParser(text)) {
      if (parser.nextToken() != JsonToken.START_OBJECT) {
        throw new BadArgumentsException("%s:%d: not a JSON object".formatted(name, number));
      }
      Object value = value(parser);
      if (parser.nextToken() != null) {
        throw new BadArgumentsException("%s:%d: more than one JSON object".formatted(name, number));
      }
      return (Map<String, Object>) value;
    } catch (JsonProcessingException e) {
      throw new BadArgumentsException(
          "%s:%d: not JSON: %s"
              .formatted(name, number, e.getOriginalMessage().lines().findFirst().orElse("")),
          e);
    }
  }

  private static Object value(JsonParser parser) throws IOException {
    return switch (parser.currentToken()) {
      case START_OBJECT -> {
        Map<String, Object> map = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
          String key = parser.currentName();
          parser.nextToken();
          map.put(key, value(parser));
        }
        yield map;
      }
      case START_ARRAY -> {
        List<Object> list = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
          list.add(value(parser));
        }
        yield list;
      }
      case VALUE_NULL -> null;
      case VALUE_TRUE -> true;
      case VALUE_FALSE -> false;
      case VALUE_STRING -> parser.getText();
      default -> parser.getDoubleValue();
    };
  }
}
