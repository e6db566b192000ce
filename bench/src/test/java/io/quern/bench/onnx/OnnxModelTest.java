package io.quern.bench.onnx;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;

/** The model is written down byte by byte, so that reader and writer cannot share a mistake. */
class OnnxModelTest {
  private static final ValueLayout.OfFloat LITTLE_ENDIAN =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /** TensorProto "w": float [3, 2], raw data 1, 2, 3, 4, 5, 6. */
  private static final String WEIGHT =
      "08 03 08 02 10 01 42 01 77 4a 18"
          + " 00 00 80 3f 00 00 00 40 00 00 40 40 00 00 80 40 00 00 a0 40 00 00 c0 40";

  /** NodeProto: r = Gather(w, i). */
  private static final String GATHER = "0a 01 77 0a 01 69 12 01 72 22 06 47 61 74 68 65 72";

  /** NodeProto: s = Relu(r). */
  private static final String RELU = "0a 01 72 12 01 73 22 04 52 65 6c 75";

  /** ValueInfoProto "i": int64. */
  private static final String IDS = "0a 01 69 12 04 0a 02 08 07";

  /** ValueInfoProto "s": float. */
  private static final String RESULT = "0a 01 73 12 04 0a 02 08 01";

  /** A length-delimited field. */
  private static String field(int number, String payload) {
    int length = HexFormat.of().parseHex(payload.replace(" ", "")).length;
    String prefix =
        length < 128
            ? "%02x".formatted(length)
            : "%02x %02x".formatted((length & 0x7f) | 0x80, length >> 7);
    return "%02x %s %s ".formatted((number << 3) | 2, prefix, payload);
  }

  private static final String GRAPH =
      field(1, GATHER)
          + field(1, RELU)
          + field(2, "67")
          + field(5, WEIGHT)
          + field(11, IDS)
          + field(12, RESULT);

  /** ModelProto: IR version 6, producer "p", the graph, opset 11. */
  private static final String MODEL = "08 06 12 01 70 " + field(7, GRAPH) + "42 02 10 0b";

  private static MemorySegment bytes(String hex) {
    return MemorySegment.ofArray(HexFormat.of().parseHex(hex.replace(" ", "")));
  }

  @Test
  void readsAWeightWhereItLies() {
    MemorySegment file = bytes(MODEL);
    OnnxModel.Tensor weight = OnnxModel.read(file).initializer("w");
    assertEquals(List.of(3L, 2L), weight.dims());
    assertEquals(OnnxModel.FLOAT, weight.dataType());
    assertEquals(24, weight.data().byteSize());
    assertEquals(6f, weight.data().getAtIndex(LITTLE_ENDIAN, 5));
    long offset = weight.data().address() - file.address();
    assertEquals(MODEL.replace(" ", "").indexOf("0000803f") / 2, offset);
  }

  @Test
  void cutsAPartOut() {
    OnnxModel model = OnnxModel.read(bytes(MODEL));
    String versions = "08 06 42 02 10 0b ";
    String name = field(2, "70 61 72 74");
    String given = field(11, RESULT.replace("73", "72"));
    assertArrayEquals(
        array(versions + field(7, name + field(1, RELU) + given + field(12, RESULT))),
        model.part(List.of("r"), List.of("s")));
    String whole = field(1, GATHER) + field(1, RELU) + field(5, WEIGHT) + field(11, IDS);
    assertArrayEquals(
        array(versions + field(7, name + whole + field(12, RESULT))),
        model.part(List.of(), List.of("s")));
  }

  private static byte[] array(String hex) {
    return bytes(hex).toArray(ValueLayout.JAVA_BYTE);
  }

  @Test
  void readsPackedExtents() {
    String packed = MODEL.replace("08 03 08 02 10 01", "0a 02 03 02 10 01");
    assertEquals(List.of(3L, 2L), OnnxModel.read(bytes(packed)).initializer("w").dims());
  }

  @Test
  void findsTheGatherNode() {
    OnnxModel.Gather gather = OnnxModel.read(bytes(MODEL)).gather("w");
    assertEquals(new OnnxModel.Gather("w", "i", "r"), gather);
  }

  @Test
  void extractsTheNodeItsWeightAndItsInput() {
    OnnxModel model = OnnxModel.read(bytes(MODEL));
    byte[] extracted = model.extract(model.gather("w"));
    String output = "0a 01 72 12 04 0a 02 08 01"; // ValueInfoProto "r": float
    String graph =
        field(1, GATHER)
            + field(2, "67 61 74 68 65 72")
            + field(5, WEIGHT)
            + field(11, IDS)
            + field(12, output);
    String expected = "08 06 42 02 10 0b " + field(7, graph);
    assertEquals(expected.replace(" ", ""), HexFormat.of().formatHex(extracted));
  }

  @Test
  void whatIsMissingIsNamed() {
    OnnxModel model = OnnxModel.read(bytes(MODEL));
    assertMessage("initializer called v", () -> model.initializer("v"));
    assertMessage("Gather node that reads s", () -> model.gather("s"));
    assertMessage("graph", () -> OnnxModel.read(bytes("08 06")));
    assertMessage(
        "raw data in w",
        () -> OnnxModel.read(bytes(MODEL.replace("4a 18", "52 18"))).initializer("w"));
  }

  private static void assertMessage(String part, Runnable action) {
    String message = assertThrows(IllegalArgumentException.class, action::run).getMessage();
    assertTrue(message.contains(part), message);
  }

  @Test
  void numbersOfTenBytesAreRead() {
    List<WireField> fields = WireField.of(bytes("08 ff ff ff ff ff ff ff ff ff 01"));
    assertEquals(-1, fields.getFirst().value());
  }

  @Test
  void damagedFilesAreRefused() {
    // Cut off anywhere, no part of the model may be read as a whole one.
    byte[] whole = bytes(MODEL).toArray(ValueLayout.JAVA_BYTE);
    for (int length = 0; length < whole.length - 4; length++) {
      MemorySegment cut = MemorySegment.ofArray(Arrays.copyOf(whole, length));
      assertThrows(IllegalArgumentException.class, () -> OnnxModel.read(cut), "at " + length);
    }
    UnaryOperator<String> read = hex -> String.valueOf(WireField.of(bytes(hex)));
    for (String damaged :
        List.of(
            "0a", // no length
            "0a 05 01", // shorter than its length
            "0a ff ff ff ff ff ff ff ff ff 01", // a length of 2^64 − 1
            "08 ff ff ff ff ff ff ff ff ff ff 01", // a number of eleven bytes
            "0b", // a group
            "00 00", // field number 0
            "09 00 00", // half a fixed number
            "0d 00")) {
      assertThrows(IllegalArgumentException.class, () -> read.apply(damaged), damaged);
    }
  }
}
