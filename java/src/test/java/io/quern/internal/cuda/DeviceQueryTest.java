package io.quern.internal.cuda;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

/** The probe must not throw, whatever a broken library throws. */
class DeviceQueryTest {
  @Test
  void anErrorWithoutAMessageIsNamedByItsClass() {
    for (LinkageError error :
        List.of(
            new NoClassDefFoundError(),
            new ExceptionInInitializerError(new IllegalStateException()),
            new ExceptionInInitializerError((String) null))) {
      String reason = DeviceQuery.lacking(error).reason();
      Throwable named = error.getCause() == null ? error : error.getCause();
      assertTrue(reason.contains(named.getClass().getSimpleName()), reason);
    }
  }

  @Test
  void aMissingFunctionIsNamed() {
    LinkageError error =
        new ExceptionInInitializerError(new UnsatisfiedLinkError("Symbol not found: cudaMalloc"));
    assertTrue(DeviceQuery.lacking(error).reason().endsWith(": cudaMalloc"));
  }
}
