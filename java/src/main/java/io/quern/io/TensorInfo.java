package io.quern.io;

import io.quern.DType;
import io.quern.Shape;
import java.util.Optional;

/**
 * A tensor as the header of a safetensors file describes it.
 *
 * @param name its name
 * @param dtypeName its element type as the format spells it: {@code F32}, {@code F8_E4M3}, …
 * @param shape its extents
 * @param begin its first byte, counted from the end of the header
 * @param end the byte after its last
 */
public record TensorInfo(String name, String dtypeName, Shape shape, long begin, long end) {
  /** The element type, where Quern has it; the format knows more (F8_E4M3, F8_E5M2, F4, C64, …). */
  public Optional<DType> dtype() {
    return Optional.ofNullable(SafeTensorsHeader.DTYPES.get(dtypeName));
  }

  /** Bytes of all elements. */
  public long byteSize() {
    return end - begin;
  }
}
