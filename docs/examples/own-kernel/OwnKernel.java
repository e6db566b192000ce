import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Availability.Unavailable;
import io.quern.Backend;
import io.quern.Backends;
import io.quern.CudaDevice;
import io.quern.DType;
import io.quern.DeviceBuffer;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.timing.GpuTimer;
import io.quern.timing.GpuTimer.Settings;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Times a kernel of your own, from a .cubin file, on one of Quern's streams: launched through the
 * driver, measured by {@link GpuTimer}.
 *
 * <pre>java OwnKernel.java scale.cubin</pre>
 */
public final class OwnKernel {
  private static final int N = 1 << 24;
  private static final int THREADS = 256;

  public static void main(String[] args) throws Throwable {
    if (Backends.probe().of(Backend.CUDA) instanceof Unavailable why) {
      System.out.println("no GPU to time on: " + why.reason() + " (" + why.hint() + ")");
      System.exit(3);
    }
    try (CudaDevice device = CudaDevice.open(0);
        Stream stream = device.openStream();
        DeviceBuffer x = device.allocate(DType.F32, Shape.of(N));
        GpuTimer timer = new GpuTimer(stream);
        Arena arena = Arena.ofConfined()) {
      x.copyFrom(MemorySegment.ofArray(new float[N]), stream);
      MemorySegment kernel = kernel(Path.of(args[0]), arena);
      MethodHandle launch = launch();

      // void** of the addresses of: float* x, float factor, long long n. The driver reads them
      // before the launch returns, so one set serves all launches.
      MemorySegment parameters = arena.allocate(ADDRESS, 3);
      parameters.setAtIndex(ADDRESS, 0, arena.allocateFrom(JAVA_LONG, x.address()));
      parameters.setAtIndex(ADDRESS, 1, arena.allocateFrom(JAVA_FLOAT, 1.5f));
      parameters.setAtIndex(ADDRESS, 2, arena.allocateFrom(JAVA_LONG, (long) N));
      MemorySegment handle = MemorySegment.ofAddress(Stream.unwrap(stream));
      int blocks = Math.ceilDiv(N, THREADS);
      GpuTimer.Launch mine =
          (on, number) -> {
            try {
              check(
                  (int)
                      launch.invokeExact(
                          kernel, blocks, 1, 1, THREADS, 1, 1, 0, handle, parameters,
                          MemorySegment.NULL));
            } catch (Throwable e) {
              throw new IllegalStateException(e);
            }
          };

      var hot = timer.time(mine);
      var cold = timer.time(Settings.coldCache(), mine);
      System.out.println("hot:  " + hot);
      System.out.println("cold: " + cold);
      System.out.println("GPU before: " + hot.before() + "; after: " + cold.after());
      System.out.printf("%.0f GB/s%n", 2.0 * N * Float.BYTES / hot.gpu().median() * 1e-3);
    }
  }

  /** The function "scale" of a module. Quern has made the device's context current. */
  private static MemorySegment kernel(Path cubin, Arena arena) throws Throwable {
    byte[] bytes = Files.readAllBytes(cubin);
    MemorySegment image = arena.allocate(bytes.length, 8).copyFrom(MemorySegment.ofArray(bytes));
    MemorySegment out = arena.allocate(ADDRESS);
    check((int) driver("cuModuleLoadData", ADDRESS, ADDRESS).invokeExact(out, image));
    MemorySegment module = out.get(ADDRESS, 0);
    MemorySegment name = arena.allocateFrom("scale");
    check(
        (int)
            driver("cuModuleGetFunction", ADDRESS, ADDRESS, ADDRESS)
                .invokeExact(out, module, name));
    return out.get(ADDRESS, 0);
  }

  private static MethodHandle launch() {
    return driver(
        "cuLaunchKernel", ADDRESS, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT,
        JAVA_INT, ADDRESS, ADDRESS, ADDRESS);
  }

  private static MethodHandle driver(String name, java.lang.foreign.MemoryLayout... parameters) {
    return Linker.nativeLinker()
        .downcallHandle(
            SymbolLookup.libraryLookup("libcuda.so.1", Arena.global()).findOrThrow(name),
            FunctionDescriptor.of(JAVA_INT, parameters));
  }

  private static void check(int status) {
    if (status != 0) {
      throw new IllegalStateException("CUresult " + status);
    }
  }
}
