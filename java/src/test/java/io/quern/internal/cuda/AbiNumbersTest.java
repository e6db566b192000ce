package io.quern.internal.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.quern.DType;
import io.quern.InvalidDataException.Kind;
import io.quern.bindings.quern.QuernAbi;
import io.quern.op.BitOrder;
import io.quern.op.CandidateNumbering;
import io.quern.op.Combine;
import io.quern.op.EmbeddingGather;
import io.quern.op.EmptyBagPolicy;
import io.quern.op.IndexPolicy;
import io.quern.op.TokenOrder;
import io.quern.op.TreeMaskFormat;
import io.quern.op.TreeStatus;
import io.quern.op.TreeVerify;
import io.quern.op.VerifyRule;
import io.quern.op.VerifyTarget;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * Enumerations cross the border as their ordinals: these are the C ABI's numbers, and it has no
 * more of them.
 */
@SuppressWarnings("EnumOrdinal")
class AbiNumbersTest {
  @Test
  void ordinalsAreTheLibrarysNumbers() throws ReflectiveOperationException {
    assertNumbers("QUERN_INDEX_", IndexPolicy.values(), 0);
    assertNumbers("QUERN_COMBINE_", Combine.values(), 0);
    assertNumbers("QUERN_EMPTY_", EmptyBagPolicy.values(), 0);
    assertNumbers("QUERN_TREE_", TreeStatus.values(), 0);
    assertNumbers("QUERN_MASK_", TreeMaskFormat.values(), 0);
    assertNumbers("QUERN_BITS_", BitOrder.values(), 0);
    assertNumbers("QUERN_CANDIDATES_", CandidateNumbering.values(), 0);
    assertNumbers("QUERN_VERIFY_", VerifyRule.values(), 0);
    assertNumbers("QUERN_TARGET_", VerifyTarget.values(), 0);
    assertNumbers("QUERN_TOKEN_ORDER_", TokenOrder.values(), 0);
    assertNumbers("QUERN_DATA_", Kind.values(), QuernAbi.QUERN_DATA_OK() + 1);
    assertEquals(EmbeddingGather.MAX_TABLES, QuernAbi.QUERN_MAX_TABLES());
    assertEquals(TreeVerify.MAX_PATHS, QuernAbi.QUERN_MAX_VERIFY_PATHS());
    assertEquals(TreeVerify.MAX_VOCAB, QuernAbi.QUERN_MAX_VERIFY_VOCAB());
    for (DType dtype : DType.values()) {
      assertEquals(dtype.ordinal(), number("QUERN_" + dtype));
    }
  }

  private static void assertNumbers(String prefix, Enum<?>[] constants, int first)
      throws ReflectiveOperationException {
    for (Enum<?> constant : constants) {
      assertEquals(first + constant.ordinal(), number(prefix + constant));
    }
    List<String> names =
        Arrays.stream(QuernAbi.class.getMethods())
            .map(method -> method.getName())
            .filter(name -> name.startsWith(prefix))
            .toList();
    assertEquals(first + constants.length, names.size(), names::toString);
  }

  private static int number(String name) throws ReflectiveOperationException {
    return (int) QuernAbi.class.getMethod(name).invoke(null);
  }
}
