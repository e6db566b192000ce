/** Kernels for inference on the JVM, on CUDA and on the CPU, with the same bits from both. */
module io.quern {
  requires static jdk.incubator.vector;
  requires jdk.management;
  requires java.management;
  requires io.quern.bindings;
  requires com.fasterxml.jackson.core;

  exports io.quern;
  exports io.quern.io;
  exports io.quern.op;
  exports io.quern.timing;
  exports io.quern.tree;
}
