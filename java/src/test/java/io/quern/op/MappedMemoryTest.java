package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.quern.Backend;
import io.quern.Device;
import io.quern.HostBuffer;
import io.quern.Stream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Operands in a mapped file: segments of a class of their own, which some kernels tell apart. */
class MappedMemoryTest {
  private static final long BYTES = 64L << 20;
  private static final int CASES = 40;

  static List<DeviceUnderTest> devices() {
    return List.of(new DeviceUnderTest(Backend.SCALAR, 1), new DeviceUnderTest(Backend.SIMD, 2));
  }

  @TempDir Path folder;

  @ParameterizedTest
  @MethodSource("devices")
  void mappedOperandsGiveTheSameBits(DeviceUnderTest under) throws IOException {
    try (Arena arena = Arena.ofShared();
        Device device = under.open();
        Stream stream = device.openStream();
        FileChannel file =
            FileChannel.open(
                folder.resolve("operands"),
                StandardOpenOption.CREATE_NEW,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE)) {
      MemorySegment mapped = file.map(FileChannel.MapMode.READ_WRITE, 0, BYTES, arena);
      for (OperatorCase each : OperatorCase.some(CASES)) {
        SegmentAllocator free = SegmentAllocator.slicingAllocator(mapped);
        OperandMemory memory =
            (dtype, shape) ->
                HostBuffer.wrap(free.allocate(shape.size() * dtype.byteSize(), 64), dtype, shape);
        try (PreparedCase prepared = each.prepare(device, stream, memory)) {
          assertEquals(each.expected(), prepared.outcome(), each::toString);
        }
      }
    }
  }
}
