package io.quern.internal.cuda;
import io.quern.Device;
import io.quern.internal.kernel.PonetChunksKernel;
import io.quern.op.PonetPooling;
final class CudaPonetChunks { static PonetChunksKernel prepare(Device d, PonetPooling.Spec s) { throw new UnsupportedOperationException(); } }
