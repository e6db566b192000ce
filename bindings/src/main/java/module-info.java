/** Generated bindings; their packages are for {@code io.quern} alone. */
@SuppressWarnings("module") // io.quern is compiled after this module
module io.quern.bindings {
  exports io.quern.bindings to
      io.quern;
  exports io.quern.bindings.cublas to
      io.quern;
  exports io.quern.bindings.cudart to
      io.quern;
  exports io.quern.bindings.quern to
      io.quern;
}
