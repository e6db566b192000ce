package io.quern.bench.measure;

import io.quern.Backend;
import java.io.IOException;
import java.lang.foreign.SegmentAllocator;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What another build of this benchmark finds here by reflection, in the same JVM: see {@link
 * OtherBuild}. Its signatures are of the JDK's types, and those of {@link Contender} that are used
 * there too; whoever changes one parts this build from all earlier ones.
 */
public final class Guest implements AutoCloseable {
  private final OpenDevices devices;

  /**
   * Opens back ends.
   *
   * @param backends their ids
   * @param threads parallelism of the CPU ones
   */
  public Guest(Set<String> backends, int threads) {
    devices =
        new OpenDevices(
            Optional.of(
                backends.stream()
                    .map(Backend::of)
                    .collect(Collectors.toCollection(() -> EnumSet.noneOf(Backend.class)))),
            threads);
  }

  /** The commit of this build. */
  public String commit() throws IOException {
    return Environment.commit();
  }

  /**
   * The back ends at a case, in several instances each.
   *
   * @param id of a case
   * @param memory where operands go
   * @return objects with the methods of {@link Contender}, to be closed by the caller; none if
   *     there is no such case
   */
  public List<? extends AutoCloseable> contenders(String id, SegmentAllocator memory) {
    return TimedCase.find(id)
        .map(one -> one.workload().apply(memory).instances(devices.all()))
        .orElse(List.of());
  }

  @Override
  public void close() {
    devices.close();
  }
}
