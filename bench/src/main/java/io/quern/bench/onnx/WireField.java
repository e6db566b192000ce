package io.quern.bench.onnx;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * One field of a message in the protobuf wire format.
 *
 * @param number which field of its message
 * @param type 0 varint, 1 fixed 64 bit, 2 length-delimited, 5 fixed 32 bit
 * @param value the number of types 0, 1 and 5; nothing for type 2
 * @param payload the bytes of type 2 (a string, raw bytes, a nested message or packed numbers);
 *     empty for the others
 */
record WireField(int number, int type, long value, MemorySegment payload) {
  static final int VARINT = 0;
  static final int FIXED64 = 1;
  static final int LENGTH = 2;
  static final int FIXED32 = 5;

  private static final MemorySegment NOTHING = MemorySegment.ofArray(new byte[0]);
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /**
   * The fields of a message in the order in which they are stored; payloads are slices, not copies.
   *
   * @throws IllegalArgumentException if the bytes are no such message
   */
  static List<WireField> of(MemorySegment message) {
    List<WireField> fields = new ArrayList<>();
    long[] at = {0};
    while (at[0] < message.byteSize()) {
      long key = varint(message, at);
      int number = (int) (key >>> 3);
      int type = (int) (key & 7);
      if (number == 0 || key >>> 32 != 0) {
        throw new IllegalArgumentException("no field number at byte " + at[0]);
      }
      switch (type) {
        case VARINT -> fields.add(new WireField(number, type, varint(message, at), NOTHING));
        case FIXED64 -> {
          MemorySegment bytes = take(message, at, Long.BYTES);
          fields.add(new WireField(number, type, bytes.get(LONG, 0), NOTHING));
        }
        case FIXED32 -> {
          MemorySegment bytes = take(message, at, Integer.BYTES);
          fields.add(new WireField(number, type, bytes.get(INT, 0), NOTHING));
        }
        case LENGTH -> {
          long length = varint(message, at);
          fields.add(new WireField(number, type, 0, take(message, at, length)));
        }
        default ->
            throw new IllegalArgumentException(
                "unknown wire type %d at byte %d".formatted(type, at[0]));
      }
    }
    return fields;
  }

  /** The payload as numbers: a packed field, or one number of an unpacked one. */
  List<Long> numbers() {
    if (type != LENGTH) {
      return List.of(value);
    }
    List<Long> numbers = new ArrayList<>();
    long[] at = {0};
    while (at[0] < payload.byteSize()) {
      numbers.add(varint(payload, at));
    }
    return numbers;
  }

  String text() {
    return new String(payload.toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
  }

  private static MemorySegment take(MemorySegment message, long[] at, long length) {
    if (length < 0 || length > message.byteSize() - at[0]) {
      throw new IllegalArgumentException(
          "a field of %s bytes at byte %d of a message of %d"
              .formatted(Long.toUnsignedString(length), at[0], message.byteSize()));
    }
    at[0] += length;
    return message.asSlice(at[0] - length, length);
  }

  private static long varint(MemorySegment message, long[] at) {
    long value = 0;
    for (int shift = 0; shift < Long.SIZE; shift += 7) {
      if (at[0] == message.byteSize()) {
        break;
      }
      byte next = message.get(ValueLayout.JAVA_BYTE, at[0]++);
      value |= (next & 0x7fL) << shift;
      if (next >= 0) {
        return value;
      }
    }
    throw new IllegalArgumentException("a number without an end at byte " + at[0]);
  }
}
