package io.quern.io;

import static io.quern.io.SafeTensorsException.quoted;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonParser.NumberType;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import io.quern.DType;
import io.quern.Shape;
import java.io.IOException;
import java.io.Reader;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * The JSON header: {@code {"__metadata__": {text: text}, NAME: {"dtype": …, "shape": […],
 * "data_offsets": [begin, end]}}}.
 *
 * <p>Stricter than JSON where leniency could let two readers see two different files: a name or
 * field given twice or unknown is an error, and the tensors have to cover the data section without
 * gap or overlap.
 *
 * @param metadata the free-form texts, in file order
 * @param tensors by name, in file order
 */
record SafeTensorsHeader(Map<String, String> metadata, Map<String, TensorInfo> tensors) {
  static final String METADATA = "__metadata__";

  /**
   * Far above any real model; bounds what the extents of one tensor can cost to hold and to print.
   */
  static final int MAX_RANK = 64;

  /** The format spells the types that Quern has exactly as {@link DType} does. */
  static final Map<String, DType> DTYPES =
      Arrays.stream(DType.values())
          .collect(Collectors.toUnmodifiableMap(DType::name, Function.identity()));

  /** Bits of an element of the types that Quern has not. */
  private static final Map<String, Integer> OTHER_BITS =
      Map.of(
          "F4", 4,
          "F6_E2M3", 6,
          "F6_E3M2", 6,
          "F8_E5M2", 8,
          "F8_E4M3", 8,
          "F8_E8M0", 8,
          "F8_E5M2FNUZ", 8,
          "F8_E4M3FNUZ", 8,
          "C64", 64);

  /** Without a symbol table, where hostile names would outlive the parse. */
  private static final JsonFactory JSON =
      JsonFactory.builder()
          .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(3)
                  .maxNumberLength(20)
                  .maxStringLength((int) SafeTensors.MAX_HEADER_BYTES)
                  .build())
          .build();

  /**
   * Reads and checks a header.
   *
   * @param file for messages
   * @param text the header
   * @param dataBytes the bytes of the file that follow it
   */
  static SafeTensorsHeader parse(Path file, Reader text, long dataBytes) throws IOException {
    try (JsonParser json = JSON.createParser(text)) {
      Parse parse = new Parse(file, json);
      try {
        SafeTensorsHeader header = parse.header();
        parse.checkCoverage(header.tensors.values(), dataBytes);
        return header;
      } catch (JacksonException e) {
        throw parse.rejected(
            "the header cannot be parsed at character %d: %s"
                .formatted(json.currentLocation().getCharOffset(), e.getOriginalMessage()),
            e);
      } catch (CharacterCodingException e) {
        throw parse.rejected("the header is not UTF-8", e);
      }
    }
  }

  private static final class Parse {
    private final Path file;
    private final JsonParser json;
    private String tensor;

    Parse(Path file, JsonParser json) {
      this.file = file;
      this.json = json;
    }

    SafeTensorsHeader header() throws IOException {
      if (json.nextToken() != JsonToken.START_OBJECT
          || json.currentTokenLocation().getCharOffset() != 0) {
        throw rejected("the header does not begin with {");
      }
      Map<String, String> metadata = null;
      Map<String, TensorInfo> tensors = new LinkedHashMap<>();
      for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
        tensor = name.equals(METADATA) ? null : name;
        if (tensor != null) {
          if (tensors.put(name, tensor()) != null) {
            throw rejected("named twice");
          }
          tensor = null;
        } else if (metadata == null) {
          metadata = metadata();
        } else {
          throw rejected(METADATA + " is given twice");
        }
      }
      if (json.nextToken() != null) {
        throw rejected("the header continues after its closing }");
      }
      return new SafeTensorsHeader(
          metadata == null ? Map.of() : Collections.unmodifiableMap(metadata),
          Collections.unmodifiableMap(tensors));
    }

    private Map<String, String> metadata() throws IOException {
      Map<String, String> metadata = new LinkedHashMap<>();
      expect(json.nextToken(), JsonToken.START_OBJECT, METADATA, "an object");
      for (String key = json.nextFieldName(); key != null; key = json.nextFieldName()) {
        expect(json.nextToken(), JsonToken.VALUE_STRING, METADATA + " " + quoted(key), "a string");
        if (metadata.put(key, json.getText()) != null) {
          throw rejected(METADATA + " has " + quoted(key) + " twice");
        }
      }
      return metadata;
    }

    private TensorInfo tensor() throws IOException {
      String dtype = null;
      long[] dims = null;
      long[] offsets = null;
      expect(json.nextToken(), JsonToken.START_OBJECT, "its entry", "an object");
      for (String field = json.nextFieldName(); field != null; field = json.nextFieldName()) {
        switch (field) {
          case "dtype" -> {
            once(field, dtype);
            expect(json.nextToken(), JsonToken.VALUE_STRING, field, "a string");
            dtype = json.getText();
          }
          case "shape" -> {
            once(field, dims);
            dims = integers(field, MAX_RANK);
          }
          case "data_offsets" -> {
            once(field, offsets);
            offsets = integers(field, 2);
          }
          default -> throw rejected("unknown field " + quoted(field));
        }
      }
      if (dtype == null || dims == null || offsets == null) {
        throw rejected(
            (dtype == null ? "dtype" : dims == null ? "shape" : "data_offsets") + " is missing");
      }
      if (offsets.length != 2 || offsets[0] > offsets[1]) {
        throw rejected(
            "data_offsets are " + Arrays.toString(offsets) + ", not [begin, end] with begin ≤ end");
      }
      return new TensorInfo(
          tensor, dtype, shape(dtype, dims, offsets[1] - offsets[0]), offsets[0], offsets[1]);
    }

    private Shape shape(String dtype, long[] dims, long bytes) throws SafeTensorsException {
      int bits =
          DTYPES.containsKey(dtype)
              ? 8 * DTYPES.get(dtype).byteSize()
              : OTHER_BITS.getOrDefault(dtype, 0);
      if (bits == 0) {
        throw rejected("unknown dtype " + quoted(dtype));
      }
      try {
        Shape shape = Shape.of(dims);
        if (Math.multiplyExact(shape.size(), bits) != Math.multiplyExact(bytes, 8)) {
          throw rejected(
              "data_offsets span %d bytes, but %s of %s takes %d bits"
                  .formatted(bytes, shape, dtype, shape.size() * bits));
        }
        return shape;
      } catch (ArithmeticException | IllegalArgumentException overflow) {
        throw rejected("%s of %s is larger than any file".formatted(Arrays.toString(dims), dtype));
      }
    }

    /** Every byte of the data section belongs to exactly one tensor. */
    void checkCoverage(Iterable<TensorInfo> tensors, long dataBytes) throws SafeTensorsException {
      List<TensorInfo> byOffset = new ArrayList<>();
      tensors.forEach(byOffset::add);
      byOffset.sort(Comparator.comparingLong(TensorInfo::begin).thenComparingLong(TensorInfo::end));
      long covered = 0;
      for (TensorInfo info : byOffset) {
        tensor = info.name();
        if (info.end() > dataBytes) {
          throw rejected(
              "ends at byte %d of a data section of %d".formatted(info.end(), dataBytes));
        }
        if (info.begin() < covered) {
          throw rejected(
              "begins at byte %d, inside the tensor before it, which ends at %d"
                  .formatted(info.begin(), covered));
        }
        if (info.begin() > covered) {
          throw rejected(
              "begins at byte %d, leaving bytes from %d on to no tensor"
                  .formatted(info.begin(), covered));
        }
        covered = info.end();
      }
      tensor = null;
      if (covered != dataBytes) {
        throw rejected("%d bytes follow the last tensor".formatted(dataBytes - covered));
      }
    }

    private long[] integers(String field, int most) throws IOException {
      expect(json.nextToken(), JsonToken.START_ARRAY, field, "an array");
      long[] values = new long[most];
      int n = 0;
      while (json.nextToken() != JsonToken.END_ARRAY) {
        expect(json.currentToken(), JsonToken.VALUE_NUMBER_INT, field, "an array of integers");
        if (n == most) {
          throw rejected(field + " has more than " + most + " entries");
        }
        if (json.getNumberType() == NumberType.BIG_INTEGER || json.getLongValue() < 0) {
          throw rejected(field + " has " + json.getText() + ", which is not in [0, 2^63)");
        }
        values[n++] = json.getLongValue();
      }
      return Arrays.copyOf(values, n);
    }

    private void once(String field, Object value) throws SafeTensorsException {
      if (value != null) {
        throw rejected(field + " is given twice");
      }
    }

    private void expect(JsonToken actual, JsonToken expected, String what, String kind)
        throws SafeTensorsException {
      if (actual != expected) {
        throw rejected(what + " is not " + kind);
      }
    }

    private SafeTensorsException rejected(String reason) {
      return rejected(reason, null);
    }

    SafeTensorsException rejected(String reason, Exception cause) {
      return new SafeTensorsException(file, tensor, reason, cause);
    }
  }
}
