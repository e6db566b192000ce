package io.quern.internal.probe;

import com.sun.management.HotSpotDiagnosticMXBean;
import io.quern.Availability;
import io.quern.Availability.Available;
import io.quern.Availability.Unavailable;
import io.quern.internal.simd.Species;
import java.lang.management.ManagementFactory;

/** Whether the Vector API is there, compiled, wide enough, and backed by FMA hardware. */
public final class SimdProbe {
  private static final int LEAST_BITS = 128;

  /** The compile level of C2, below which vectors are objects. */
  private static final int C2_LEVEL = 4;

  private SimdProbe() {}

  /** Never throws. */
  public static Availability probe() {
    if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty()) {
      return new Unavailable(
          "module jdk.incubator.vector is not loaded",
          "start java with --add-modules jdk.incubator.vector");
    }
    String mode = System.getProperty("java.vm.info", "");
    if (mode.contains("interpreted")) {
      return new Unavailable("this JVM only interprets", "start java without -Xint");
    }
    Flags flags = Flags.read();
    if (!flags.vectors) {
      return new Unavailable(
          "vectors are not compiled here: -XX:-EnableVectorSupport", "leave it switched on");
    }
    if (!flags.c2 || mode.contains("emulated-client")) {
      return new Unavailable(
          "this JVM runs without the C2 compiler",
          "leave -XX:TieredStopAtLevel at " + C2_LEVEL + " and -XX:CompilationMode at its default");
    }
    if (!flags.fma) {
      return new Unavailable(
          "no FMA hardware, or it is switched off: fma would run in software",
          "leave -XX:+UseFMA on a CPU that has it, and -XX:UseAVX above 1");
    }
    int bits = Species.bits();
    if (bits < LEAST_BITS) {
      return new Unavailable(
          "vectors have %d bit, fewer than %d".formatted(bits, LEAST_BITS),
          "leave -XX:MaxVectorSize at 16 or more");
    }
    return new Available("%d bit, %s".formatted(bits, flags.known ? "FMA" : "flags unknown"));
  }

  /**
   * What the JVM was started with; one that does not tell (an image without jdk.management) is
   * trusted.
   */
  private record Flags(boolean known, boolean c2, boolean vectors, boolean fma) {
    private static final Flags UNKNOWN = new Flags(false, true, true, true);

    static Flags read() {
      if (ModuleLayer.boot().findModule("jdk.management").isEmpty()) {
        return UNKNOWN;
      }
      HotSpotDiagnosticMXBean bean;
      try {
        bean = ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class);
      } catch (IllegalArgumentException notHotSpot) {
        return UNKNOWN;
      }
      if (bean == null) {
        return UNKNOWN;
      }
      return new Flags(
          true,
          Integer.parseInt(value(bean, "TieredStopAtLevel", "" + C2_LEVEL)) == C2_LEVEL
              || value(bean, "TieredCompilation", "true").equals("false"),
          value(bean, "EnableVectorSupport", "true").equals("true"),
          value(bean, "UseFMA", "true").equals("true"));
    }

    private static String value(HotSpotDiagnosticMXBean bean, String flag, String otherwise) {
      try {
        return bean.getVMOption(flag).getValue();
      } catch (IllegalArgumentException noSuchFlag) {
        return otherwise;
      }
    }
  }
}
