package io.quern.internal.cuda;
import io.quern.Device;
import io.quern.internal.kernel.PonetMixerKernel;
import io.quern.op.PonetPooling;
final class CudaPonetMixer { static PonetMixerKernel prepare(Device d, PonetPooling.Spec s) { throw new UnsupportedOperationException(); } }
