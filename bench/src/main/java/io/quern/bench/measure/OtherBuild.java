package io.quern.bench.measure;

import io.quern.Backend;
import io.quern.Device;
import io.quern.bench.BadArgumentsException;
import io.quern.bench.report.CompareCommand;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandleProxies;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntConsumer;
import java.util.stream.Collectors;

/**
 * Another build of this benchmark in this JVM, in a class loader of its own. Its back ends take
 * turns with this build's on the same operands, so that neither the machine's bad minutes nor the
 * place of the operands in memory is a difference between the two.
 */
final class OtherBuild implements AutoCloseable {
  private final Path jar;
  private final URLClassLoader classes;
  private final Object guest;
  private final boolean first;

  /**
   * Opens back ends of another build.
   *
   * @param jar of the build, with the jars beside it that its manifest names
   * @param backends which
   * @param threads parallelism of the back ends
   * @param first whether its back ends come before this build's
   * @throws BadArgumentsException if it is no such jar
   */
  OtherBuild(Path jar, Set<Backend> backends, int threads, boolean first) throws IOException {
    this.jar = jar;
    this.first = first;
    requireJar(jar);
    classes =
        new URLClassLoader(
            "before", new URL[] {jar.toUri().toURL()}, ClassLoader.getPlatformClassLoader());
    try {
      guest =
          classes
              .loadClass(Guest.class.getName())
              .getConstructor(Set.class, int.class)
              .newInstance(backends.stream().map(Backend::id).collect(Collectors.toSet()), threads);
    } catch (ReflectiveOperationException | LinkageError e) {
      classes.close();
      throw refused(e);
    }
  }

  /** Says so if there is none. */
  static void requireJar(Path jar) {
    if (!Files.isRegularFile(jar)) {
      throw new BadArgumentsException("there is no file " + jar);
    }
  }

  private BadArgumentsException refused(Throwable e) {
    Throwable cause = e instanceof InvocationTargetException thrown ? thrown.getCause() : e;
    return new BadArgumentsException(
        "%s has no build of this benchmark that can be measured beside this one: %s"
            .formatted(jar, cause));
  }

  String commit() {
    return (String) call(guest, guest.getClass(), "commit");
  }

  /**
   * Its back ends at a case and this build's, on the same operands, in several instances each.
   *
   * @param memory where the workload has its operands, which are written again
   * @return none where one of the builds has none; to be closed by the caller
   */
  List<Contender> contenders(
      TimedCase one, SharedMemory memory, Workload workload, List<Device> devices) {
    memory.again();
    List<?> theirs = (List<?>) call(guest, guest.getClass(), "contenders", one.id(), memory);
    if (theirs.isEmpty()) {
      return List.of();
    }
    List<Contender> contenders = new ArrayList<>(workload.instances(devices));
    List<Contender> before = theirs.stream().<Contender>map(Theirs::new).toList();
    contenders.addAll(first ? 0 : contenders.size(), before);
    return contenders;
  }

  /** Says that it has no such case. */
  String lacks(TimedCase one) {
    return "%s does not have %s".formatted(jar, one.id());
  }

  /** The one method of that name; what it throws is thrown. */
  private static Object call(Object object, Class<?> type, String name, Object... arguments) {
    Method method =
        Arrays.stream(type.getMethods())
            .filter(one -> one.getName().equals(name))
            .findFirst()
            .orElseThrow();
    try {
      return method.invoke(object, arguments);
    } catch (InvocationTargetException e) {
      if (e.getCause() instanceof RuntimeException thrown) {
        throw thrown;
      }
      throw new IllegalStateException(e.getCause());
    } catch (IllegalAccessException e) {
      throw new IllegalStateException(e);
    }
  }

  /** A contender of its. */
  private final class Theirs implements Contender {
    private final Object contender;
    private final Class<?> type;
    private final IntConsumer run;

    Theirs(Object contender) {
      this.contender = contender;
      try {
        type = classes.loadClass(Contender.class.getName());
        MethodHandle method =
            MethodHandles.publicLookup()
                .findVirtual(type, "run", MethodType.methodType(void.class, int.class));
        run = MethodHandleProxies.asInterfaceInstance(IntConsumer.class, method.bindTo(contender));
      } catch (ReflectiveOperationException e) {
        throw refused(e);
      }
    }

    @Override
    public String name() {
      return CompareCommand.BEFORE + call(contender, type, "name");
    }

    @Override
    public void run(int set) {
      run.accept(set); // no objects for its argument, so that its own can be counted
    }

    @Override
    public double seconds(int first, int runs, int sets) {
      return (double) call(contender, type, "seconds", first, runs, sets);
    }

    @Override
    public void poison() {
      call(contender, type, "poison");
    }

    @Override
    @SuppressWarnings("unchecked") // as Contender says
    public Map<String, MemorySegment> results() {
      return (Map<String, MemorySegment>) call(contender, type, "results");
    }

    @Override
    public void close() {
      call(contender, type, "close");
    }
  }

  @Override
  public void close() {
    call(guest, guest.getClass(), "close");
    try {
      classes.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
