package io.quern.bench.onnx;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

/** A message in the protobuf wire format that is being written. */
final class WireMessage {
  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

  WireMessage number(int field, long value) {
    varint(((long) field << 3) | WireField.VARINT);
    varint(value);
    return this;
  }

  WireMessage text(int field, String text) {
    return payload(field, text.getBytes(StandardCharsets.UTF_8));
  }

  WireMessage message(int field, WireMessage message) {
    return payload(field, message.toByteArray());
  }

  /** Repeats a field as it was read. */
  WireMessage copy(WireField field) {
    return field.type() == WireField.LENGTH
        ? payload(field.number(), field.payload().toArray(ValueLayout.JAVA_BYTE))
        : number(field.number(), field.value());
  }

  byte[] toByteArray() {
    return bytes.toByteArray();
  }

  MemorySegment toSegment() {
    return MemorySegment.ofArray(toByteArray());
  }

  WireMessage payload(int field, byte[] payload) {
    varint(((long) field << 3) | WireField.LENGTH);
    varint(payload.length);
    bytes.writeBytes(payload);
    return this;
  }

  private void varint(long value) {
    long rest = value;
    while ((rest & ~0x7fL) != 0) {
      bytes.write(((int) (rest & 0x7f)) | 0x80);
      rest >>>= 7;
    }
    bytes.write((int) rest);
  }
}
