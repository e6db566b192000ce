package io.quern;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.bindings.quern.quern_table;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.classfile.AttributedElement;
import java.lang.classfile.Attributes;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.CodeElement;
import java.lang.classfile.CodeModel;
import java.lang.classfile.MethodModel;
import java.lang.classfile.constantpool.ClassEntry;
import java.lang.classfile.constantpool.MemberRefEntry;
import java.lang.classfile.constantpool.PoolEntry;
import java.lang.classfile.constantpool.Utf8Entry;
import java.lang.classfile.instruction.FieldInstruction;
import java.lang.classfile.instruction.InvokeInstruction;
import java.lang.reflect.AccessFlag;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Who may touch what, read from the class files. */
class ArchitectureTest {
  private static final String INTERNAL = "io/quern/internal/";

  enum Rule {
    /** Vectors stay in one package. */
    VECTORS(
        Violation.Vectors.class,
        in -> !in.startsWith(INTERNAL + "simd/"),
        names("jdk/incubator/vector/")),
    /** What was generated from C headers is seen where calls are made and libraries are loaded. */
    BINDINGS(
        Violation.Bindings.class,
        in -> !in.startsWith(INTERNAL + "cuda/") && !in.startsWith(INTERNAL + "load/"),
        names("io/quern/bindings/")),
    /** Operators know kernels, not back ends. */
    OPERATORS(
        Violation.Operator.class,
        in -> in.startsWith("io/quern/op/"),
        names(INTERNAL + "(?:scalar|simd|cuda|load|cpu|probe)/")),
    /** Host code of trees is built on what users see. */
    TREES(Violation.Trees.class, in -> in.startsWith("io/quern/tree/"), names(INTERNAL)),
    /** What users see shows no generated type. */
    EXPORTS(
        Violation.Exports.class,
        in -> in.matches("io/quern/(?:op/|io/|timing/|tree/)?[^/]+"),
        ArchitectureTest::generatedTypesShown),
    /** Functions that round differently from one platform to the next. */
    FUNCTIONS(
        Violation.Functions.class,
        ArchitectureTest::isKernel,
        calls(
            Pattern.compile(
                "java/lang/StrictMath\\..*|java/lang/Math\\.(?:exp|expm1|log|log10|log1p|pow|cbrt"
                    + "|sin|cos|tan|asin|acos|atan|atan2|sinh|cosh|tanh|hypot)"))),
    /** Their vector forms. */
    VECTOR_FUNCTIONS(
        Violation.VectorFunctions.class,
        ArchitectureTest::isKernel,
        calls(
            Pattern.compile(
                "jdk/incubator/vector/VectorOperators\\.(?:EXP|EXPM1|LOG|LOG10|LOG1P|POW|CBRT|SIN"
                    + "|COS|TAN|ASIN|ACOS|ATAN|ATAN2|SINH|COSH|TANH|HYPOT)"))),
    /** Sums and products across float lanes come in no order that is written down. */
    LANE_SUMS(
        Violation.LaneSums.class, ArchitectureTest::isKernel, ArchitectureTest::laneReductions);

    private final Class<?> violation;
    private final Predicate<String> appliesTo;
    private final Finder finder;

    Rule(Class<?> violation, Predicate<String> appliesTo, Finder finder) {
      this.violation = violation;
      this.appliesTo = appliesTo;
      this.finder = finder;
    }
  }

  /** Says what in a class breaks a rule. */
  private interface Finder {
    Set<String> in(ClassModel model);
  }

  /** One class per rule that would break it, were it where the rule applies. */
  private static final class Violation {
    static final class Vectors {
      static Object vector(FloatVector vector) {
        return vector;
      }
    }

    static final class Bindings {
      static long size() {
        return quern_table.sizeof();
      }
    }

    static final class Operator {
      static Object kernels() {
        return io.quern.internal.scalar.ScalarKernels.all();
      }
    }

    static final class Trees {
      static Object memory(Buffer buffer) {
        return io.quern.internal.device.TypedMemory.of(buffer);
      }
    }

    public static final class Exports {
      private Exports() {}

      public static List<quern_table> tables() {
        return List.of();
      }
    }

    static final class Functions {
      static double logistic(double x) {
        return 1 / (1 + Math.exp(-x));
      }
    }

    static final class VectorFunctions {
      static FloatVector exp(FloatVector x) {
        return x.lanewise(VectorOperators.EXP);
      }
    }

    static final class LaneSums {
      static float sum(FloatVector x) {
        return x.reduceLanes(VectorOperators.ADD);
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void isKept(Rule rule) {
    List<String> broken = new ArrayList<>();
    int checked = 0;
    for (ClassModel model : classes()) {
      String name = model.thisClass().asInternalName();
      if (rule.appliesTo.test(name)) {
        checked++;
        rule.finder.in(model).forEach(what -> broken.add(name + " uses " + what));
      }
    }
    assertTrue(checked > 0, "the rule applies to nothing");
    assertEquals(List.of(), broken);
  }

  @ParameterizedTest
  @EnumSource
  void isBrokenByItsViolation(Rule rule) throws IOException {
    String file = rule.violation.getName().replace('.', '/') + ".class";
    try (InputStream bytes = rule.violation.getClassLoader().getResourceAsStream(file)) {
      assertFalse(rule.finder.in(ClassFile.of().parse(bytes.readAllBytes())).isEmpty());
    }
  }

  private static List<ClassModel> classes() {
    try {
      Path root =
          Path.of(Backends.class.getProtectionDomain().getCodeSource().getLocation().toURI());
      try (Stream<Path> files = Files.walk(root)) {
        return files
            .filter(file -> file.toString().endsWith(".class"))
            .filter(file -> !file.endsWith("module-info.class"))
            .map(ArchitectureTest::parse)
            .toList();
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (URISyntaxException e) {
      throw new AssertionError(e);
    }
  }

  private static ClassModel parse(Path file) {
    try {
      return ClassFile.of().parse(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static boolean isKernel(String name) {
    return name.startsWith(INTERNAL + "scalar/") || name.startsWith(INTERNAL + "simd/");
  }

  /** Classes that are named anywhere: as such, in descriptors, or in signatures. */
  private static Finder names(String prefix) {
    Pattern whole = Pattern.compile("\\[*L?" + prefix + ".*");
    Pattern inside = Pattern.compile(".*[L<]" + prefix + ".*");
    return model -> {
      Set<String> found = new LinkedHashSet<>();
      for (PoolEntry entry : model.constantPool()) {
        if (entry instanceof ClassEntry named && whole.matcher(named.asInternalName()).matches()) {
          found.add(named.asInternalName());
        } else if (entry instanceof Utf8Entry text
            && inside.matcher(text.stringValue()).matches()) {
          found.add(text.stringValue());
        }
      }
      return found;
    };
  }

  /** Fields and methods that are referred to, as owner.name. */
  private static Finder calls(Pattern member) {
    return model -> {
      Set<String> found = new LinkedHashSet<>();
      for (PoolEntry entry : model.constantPool()) {
        if (entry instanceof MemberRefEntry reference) {
          String name = reference.owner().asInternalName() + "." + reference.name().stringValue();
          if (member.matcher(name).matches()) {
            found.add(name);
          }
        }
      }
      return found;
    };
  }

  /** Methods that reduce float lanes and name ADD or MUL. */
  private static Set<String> laneReductions(ClassModel model) {
    Set<String> found = new LinkedHashSet<>();
    for (MethodModel method : model.methods()) {
      boolean reduces = false;
      boolean addsOrMultiplies = false;
      for (CodeElement element : method.code().map(CodeModel::elementList).orElse(List.of())) {
        reduces |=
            element instanceof InvokeInstruction call
                && call.owner()
                    .asInternalName()
                    .matches("jdk/incubator/vector/(?:Float|Double)Vector")
                && call.name().stringValue().startsWith("reduceLanes");
        addsOrMultiplies |=
            element instanceof FieldInstruction field
                && field.owner().asInternalName().equals("jdk/incubator/vector/VectorOperators")
                && field.name().stringValue().matches("ADD|MUL");
      }
      if (reduces && addsOrMultiplies) {
        found.add("an unordered reduction in " + method.methodName());
      }
    }
    return found;
  }

  /** Public and protected fields and methods whose types were generated. */
  private static Set<String> generatedTypesShown(ClassModel model) {
    Set<String> found = new LinkedHashSet<>();
    if (!model.flags().has(AccessFlag.PUBLIC)) {
      return found;
    }
    Stream.concat(
            model.fields().stream()
                .filter(
                    field ->
                        field.flags().has(AccessFlag.PUBLIC)
                            || field.flags().has(AccessFlag.PROTECTED))
                .map(
                    field ->
                        field.fieldName() + field.fieldType().stringValue() + signature(field)),
            model.methods().stream()
                .filter(
                    method ->
                        method.flags().has(AccessFlag.PUBLIC)
                            || method.flags().has(AccessFlag.PROTECTED))
                .map(
                    method ->
                        method.methodName()
                            + method.methodType().stringValue()
                            + signature(method)))
        .filter(shown -> shown.contains("io/quern/bindings/"))
        .forEach(found::add);
    return found;
  }

  private static String signature(AttributedElement element) {
    return element
        .findAttribute(Attributes.signature())
        .map(attribute -> " " + attribute.signature().stringValue())
        .orElse("");
  }
}
