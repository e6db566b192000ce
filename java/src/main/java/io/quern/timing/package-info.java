/**
 * Times what runs on a GPU: Quern's operators, and kernels of others that are launched on one of
 * its streams. {@link io.quern.timing.GpuTimer} measures, {@link io.quern.timing.GpuTiming} is what
 * it found, {@link io.quern.timing.GpuState} tells how the GPU was meanwhile.
 */
package io.quern.timing;
