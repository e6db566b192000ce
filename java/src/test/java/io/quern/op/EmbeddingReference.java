package io.quern.op;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import io.quern.DType;
import io.quern.InvalidDataException;
import io.quern.InvalidDataException.Kind;
import io.quern.Shape;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * The gathers once more, written from their documentation on Java arrays. Shares no code with any
 * back end.
 */
final class EmbeddingReference {
  /** Answers of {@link #resolve}. */
  private static final long ZERO_ROW = -10;

  private static final long SKIPPED = -11;
  private static final long FAILED = -12;

  private final String operator;
  private final DType dtype;
  private final byte[] bytes;
  private final boolean strided;
  private final long dim;
  private final IndexPolicy policy;
  private final List<InvalidDataException> faults = new ArrayList<>();

  private EmbeddingReference(
      String operator, DType out, long rows, long dim, boolean strided, IndexPolicy policy) {
    this.operator = operator;
    this.dtype = out;
    this.strided = strided;
    this.dim = dim;
    this.policy = policy;
    this.bytes =
        PreparedCase.poison(PreparedCase.elements(strided, Shape.of(rows, dim)) * out.byteSize());
  }

  static Outcome gather(EmbeddingGatherCases.Case of) {
    EmbeddingGatherCases.Inputs in = of.inputs();
    EmbeddingGather.Spec spec = of.spec();
    EmbeddingReference out =
        new EmbeddingReference(
            "EmbeddingGather",
            spec.out(),
            in.ids().length,
            spec.dim(),
            of.traits().contains(Trait.STRIDED),
            spec.policy());
    for (int i = 0; i < in.ids().length && spec.dim() > 0; i++) {
      long id = in.ids()[i];
      if (id == -1) {
        out.zeros(i);
        continue;
      }
      long table =
          in.tableIds() == null
              ? 0
              : out.resolve(Kind.TABLE_ID, i, in.tableIds()[i], in.tables().size());
      long row =
          table < 0
              ? table
              : out.resolve(Kind.INDEX, i, id, in.tables().get((int) table).shape().dim(0));
      if (row >= 0) {
        out.copy(in.tables().get((int) table), row, i);
      } else if (row != SKIPPED) {
        out.zeros(i);
      }
    }
    return out.outcome();
  }

  private record Entry(RandomRows table, long row, float weight, int chunk) {
    float value(long column) {
      return row < 0 ? 0 : decode(table.dtype(), table.bits(row, column));
    }
  }

  static Outcome bag(EmbeddingBagCases.Case of) {
    EmbeddingBagCases.Inputs in = of.inputs();
    EmbeddingBag.Spec spec = of.spec();
    EmbeddingReference out =
        new EmbeddingReference(
            "EmbeddingBag",
            spec.out(),
            of.lengths().size(),
            spec.dim(),
            of.traits().contains(Trait.STRIDED),
            spec.policy());
    long count = in.ids().length;
    for (int bag = 0; bag < of.lengths().size() && spec.dim() > 0; bag++) {
      long start = in.offsets()[bag];
      long end = in.offsets()[bag + 1];
      boolean startIsBad = start < 0 || start > count;
      if (startIsBad || end < start || end > count) {
        switch (spec.policy()) {
          case SKIP -> {
            continue;
          }
          case FAIL -> {
            out.fault(Kind.OFFSETS, bag, startIsBad ? start : end, count);
            out.zeros(bag);
            continue;
          }
          case ZERO -> {
            out.zeros(bag);
            continue;
          }
          case CLAMP -> {
            start = Math.max(0, Math.min(count, start));
            end = Math.max(start, Math.min(count, end));
          }
        }
      }
      long table =
          in.tableIds() == null
              ? 0
              : out.resolve(Kind.TABLE_ID, bag, in.tableIds()[bag], in.tables().size());
      boolean failed = table == FAILED;
      List<Entry> entries = new ArrayList<>();
      for (long j = start; j < end; j++) {
        long id = in.ids()[(int) j];
        if (id == -1) {
          continue;
        }
        RandomRows rows = table < 0 ? null : in.tables().get((int) table);
        long row = rows == null ? table : out.resolve(Kind.INDEX, j, id, rows.shape().dim(0));
        failed |= row == FAILED;
        if (row >= 0 || row == ZERO_ROW) {
          float weight = in.weights() == null ? 1 : Float.intBitsToFloat(in.weights()[(int) j]);
          entries.add(new Entry(rows, row, weight, (int) ((j - start) / 64)));
        }
      }
      if (failed) {
        out.zeros(bag);
      } else if (!entries.isEmpty()) {
        out.combine(spec.combine(), entries, in.weights() != null, bag);
      } else if (spec.empty() == EmptyBagPolicy.ZERO) {
        out.zeros(bag);
      } else if (spec.empty() == EmptyBagPolicy.FALLBACK) {
        out.copy(in.fallback(), in.fallback().shape().dim(0) == 1 ? 0 : bag, bag);
      }
    }
    return out.outcome();
  }

  private void combine(Combine combine, List<Entry> entries, boolean weighted, int bag) {
    if (combine == Combine.FIRST || combine == Combine.LAST) {
      Entry one = combine == Combine.FIRST ? entries.getFirst() : entries.getLast();
      if (one.row < 0) {
        zeros(bag);
      } else {
        copy(one.table, one.row, bag);
      }
      return;
    }
    float weights = sum(entries, false, entry -> entry.weight);
    for (int column = 0; column < dim; column++) {
      int d = column;
      float result =
          switch (combine) {
            case MAX -> extremum(entries, d, 1);
            case MIN -> extremum(entries, d, -1);
            case MEAN -> sum(entries, false, entry -> entry.value(d)) / entries.size();
            case WEIGHTED_MEAN -> sum(entries, true, entry -> entry.value(d)) / weights;
            default -> sum(entries, weighted, entry -> entry.value(d));
          };
      set(bag, column, encode(dtype, result));
    }
  }

  private interface Column {
    float of(Entry entry);
  }

  /** Chunk sums from +0 in ascending order; then those, from +0 as well. */
  private static float sum(List<Entry> entries, boolean weighted, Column column) {
    float[] chunks = new float[entries.getLast().chunk + 1];
    for (Entry entry : entries) {
      float before = chunks[entry.chunk];
      chunks[entry.chunk] =
          weighted ? Math.fma(entry.weight, column.of(entry), before) : before + column.of(entry);
    }
    float total = 0;
    for (float chunk : chunks) {
      total += chunk;
    }
    return total;
  }

  private static float extremum(List<Entry> entries, long column, int sign) {
    float best = Float.NEGATIVE_INFINITY;
    for (Entry entry : entries) {
      float value = sign * entry.value(column);
      if (Float.isNaN(value)) {
        return value;
      }
      if (value > best) {
        best = value;
      }
    }
    return best == 0 ? 0 : sign * best;
  }

  /** A row or table number in [0, limit), or one of the negative answers. */
  private long resolve(Kind kind, long position, long value, long limit) {
    if (value >= 0 && value < limit) {
      return value;
    }
    switch (policy) {
      case SKIP:
        return SKIPPED;
      case ZERO:
        return ZERO_ROW;
      case CLAMP:
        return limit == 0 ? ZERO_ROW : value < 0 ? 0 : limit - 1;
      default:
        fault(kind, position, value, limit);
        return FAILED;
    }
  }

  private void fault(Kind kind, long position, long value, long limit) {
    faults.add(new InvalidDataException(operator, kind, position, value, limit));
  }

  private void zeros(int row) {
    for (int column = 0; column < dim; column++) {
      set(row, column, 0);
    }
  }

  private void copy(RandomRows table, long from, int row) {
    for (int column = 0; column < dim; column++) {
      int bits = table.bits(from, column);
      set(row, column, table.dtype() == dtype ? bits : encode(dtype, decode(table.dtype(), bits)));
    }
  }

  private void set(int row, int column, int bits) {
    MemorySegment segment = MemorySegment.ofArray(bytes);
    long i = PreparedCase.position(strided, row, column, dim);
    if (dtype == DType.F32) {
      segment.setAtIndex(JAVA_INT_UNALIGNED, i, bits);
    } else {
      segment.setAtIndex(JAVA_SHORT_UNALIGNED, i, (short) bits);
    }
  }

  private Outcome outcome() {
    InvalidDataException lowest = null;
    for (InvalidDataException fault : faults) {
      if (lowest == null
          || fault.kind().ordinal() < lowest.kind().ordinal()
          || fault.kind() == lowest.kind() && fault.position() < lowest.position()) {
        lowest = fault;
      }
    }
    return new Outcome(List.of(new Outcome.Output("out", dtype, bytes)), lowest);
  }

  /** Sign, exponent and fraction, put together in F64. */
  static float decode(DType dtype, int bits) {
    if (dtype == DType.F32) {
      return Float.intBitsToFloat(bits);
    }
    int fractionBits = dtype == DType.F16 ? 10 : 7;
    int bias = dtype == DType.F16 ? 15 : 127;
    int exponent = (bits & 0x7fff) >> fractionBits;
    int fraction = bits & (1 << fractionBits) - 1;
    double sign = (bits & 0x8000) == 0 ? 1 : -1;
    if (exponent == 2 * bias + 1) {
      return fraction == 0 ? (float) (sign * Double.POSITIVE_INFINITY) : Float.NaN;
    }
    double significand = exponent == 0 ? fraction : fraction + (1 << fractionBits);
    return (float) (sign * Math.scalb(significand, Math.max(1, exponent) - bias - fractionBits));
  }

  /** The nearest multiple of the unit in the last place, ties to the even one, found in F64. */
  static int encode(DType dtype, float value) {
    if (dtype == DType.F32) {
      return Float.floatToRawIntBits(value);
    }
    int fractionBits = dtype == DType.F16 ? 10 : 7;
    int bias = dtype == DType.F16 ? 15 : 127;
    int infinity = (2 * bias + 1) << fractionBits;
    int sign = Float.floatToRawIntBits(value) < 0 ? 0x8000 : 0;
    if (Float.isNaN(value)) {
      return infinity | 1;
    }
    double magnitude = Math.abs((double) value);
    if (magnitude == Double.POSITIVE_INFINITY) {
      return sign | infinity;
    }
    int exponent = Math.max(1 - bias, magnitude == 0 ? 1 - bias : Math.getExponent(magnitude));
    long units = (long) Math.rint(Math.scalb(magnitude, fractionBits - exponent));
    // A carry out of the fraction runs on into the exponent, up to infinity.
    long bits = ((long) (exponent + bias - 1) << fractionBits) + units;
    return sign | (int) Math.min(bits, infinity);
  }
}
