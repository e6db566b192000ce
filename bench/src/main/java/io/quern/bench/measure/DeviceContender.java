package io.quern.bench.measure;

import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.CudaDevice;
import io.quern.Device;
import io.quern.Event;
import io.quern.timing.GpuTimer;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.IntConsumer;

/** A back end of Quern computing a workload on operands that lie where its device wants them. */
final class DeviceContender implements Contender {
  private final Device device;
  private final Workload workload;
  private final Placement placement;
  private final IntConsumer run;
  private final Event start;
  private final Event end;

  DeviceContender(Device device, Workload workload, Function<Placement, IntConsumer> plan) {
    this.device = device;
    this.workload = workload;
    this.placement = new Placement(device, workload);
    this.run = plan.apply(placement);
    this.start = device.openEvent();
    this.end = device.openEvent();
  }

  @Override
  public String name() {
    return device.backend().id();
  }

  @Override
  public boolean isBackend() {
    return true;
  }

  @Override
  public void run(int set) {
    run.accept(set);
  }

  /** A CPU device computes right into the shared outputs; those of a GPU are fetched into them. */
  @Override
  public Map<String, MemorySegment> results() {
    placement.stream().synchronize();
    Map<String, MemorySegment> results = new LinkedHashMap<>();
    workload
        .outputs()
        .forEach(
            (name, output) -> {
              if (!(device instanceof CpuDevice)) {
                placement.output(name).copyTo(output.memory(), placement.stream());
              }
              results.put(name, output.memory());
            });
    return results;
  }

  @Override
  public void poison() {
    workload
        .outputs()
        .forEach(
            (name, output) -> {
              output.reset();
              if (!(device instanceof CpuDevice)) {
                placement.output(name).copyFrom(output.memory(), placement.stream());
              }
            });
  }

  /** On a GPU the time between two events around the queued runs, on the device's own clock. */
  @Override
  public double seconds(int first, int runs, int sets) {
    if (!(device instanceof CudaDevice)) {
      return Contender.super.seconds(first, runs, sets);
    }
    placement.stream().record(start);
    for (int i = 0; i < runs; i++) {
      run((first + i) % sets);
    }
    placement.stream().record(end);
    end.synchronize();
    return end.millisSince(start) * 1e-3;
  }

  /** On a GPU, its times one by one. */
  @Override
  public Optional<GpuTimes> gpuTimes(int sets) {
    if (device.backend() != Backend.CUDA) {
      return Optional.empty();
    }
    try (GpuTimer timer = new GpuTimer(placement.stream())) {
      GpuTimer.Launch launch = (stream, number) -> run(number % sets);
      return Optional.of(
          new GpuTimes(timer.time(launch), timer.time(GpuTimer.Settings.coldCache(), launch)));
    }
  }

  @Override
  public void close() {
    placement.close();
    start.close();
    end.close();
  }
}
