package io.quern;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.quern.bindings.quern.QuernAbi;
import java.util.Map;
import org.junit.jupiter.api.Test;

class DTypeTest {
  /** The C ABI passes ordinals. */
  @Test
  void ordinalsAreTheNumbersOfTheHeader() {
    Map<DType, Integer> numbers =
        Map.ofEntries(
            Map.entry(DType.F32, QuernAbi.QUERN_F32()),
            Map.entry(DType.F16, QuernAbi.QUERN_F16()),
            Map.entry(DType.BF16, QuernAbi.QUERN_BF16()),
            Map.entry(DType.F64, QuernAbi.QUERN_F64()),
            Map.entry(DType.I8, QuernAbi.QUERN_I8()),
            Map.entry(DType.U8, QuernAbi.QUERN_U8()),
            Map.entry(DType.I16, QuernAbi.QUERN_I16()),
            Map.entry(DType.U16, QuernAbi.QUERN_U16()),
            Map.entry(DType.I32, QuernAbi.QUERN_I32()),
            Map.entry(DType.U32, QuernAbi.QUERN_U32()),
            Map.entry(DType.I64, QuernAbi.QUERN_I64()),
            Map.entry(DType.U64, QuernAbi.QUERN_U64()),
            Map.entry(DType.BOOL, QuernAbi.QUERN_BOOL()));
    for (DType dtype : DType.values()) {
      assertEquals(numbers.get(dtype), dtype.ordinal(), dtype.name());
    }
  }

  @Test
  void sizesAreThoseOfTheirNames() {
    for (DType dtype : DType.values()) {
      String bits = dtype.name().replaceAll("\\D", "");
      assertEquals(dtype == DType.BOOL ? 8 : Integer.parseInt(bits), 8 * dtype.byteSize());
    }
  }
}
