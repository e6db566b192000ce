package io.quern;

/**
 * An operator met bad data under {@code IndexPolicy.FAIL}: an id outside its table, a table id
 * outside the list, or offsets that descend or leave the ids. Good rows are written, bad rows are
 * zeros; of several faults in one launch this is the lowest (kind first, then position), on every
 * back end.
 */
public final class InvalidDataException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * What was bad, in the order in which kinds win. The numbers are those of {@code QUERN_DATA_*},
   * from 1.
   */
  public enum Kind {
    /**
     * {@code offsets[position]} or its successor is outside [0, limit] or descends; limit is the
     * number of ids.
     */
    OFFSETS,
    /** {@code tableIds[position]} is outside [0, limit), the number of tables. */
    TABLE_ID,
    /** {@code ids[position]} is neither −1 nor inside [0, limit), the table's rows. */
    INDEX
  }

  private final String operator;
  private final Kind kind;
  private final long position;
  private final long value;
  private final long limit;

  /**
   * For the library's own use.
   *
   * @param operator the class name of the operator that met it
   * @param kind what was bad
   * @param position where: a flat index into the operand the kind names
   * @param value the bad value
   * @param limit the bound it breaks
   */
  public InvalidDataException(String operator, Kind kind, long position, long value, long limit) {
    super(
        operator
            + ": "
            + switch (kind) {
              case OFFSETS ->
                  "offsets of segment %d: %d is out of order or outside [0, %d]"
                      .formatted(position, value, limit);
              case TABLE_ID ->
                  "table id at position %d is %d, outside [0, %d)"
                      .formatted(position, value, limit);
              case INDEX ->
                  "id at position %d is %d, outside the table's [0, %d)"
                      .formatted(position, value, limit);
            });
    this.operator = operator;
    this.kind = kind;
    this.position = position;
    this.value = value;
    this.limit = limit;
  }

  /** The class name of the operator that met it, such as {@code EmbeddingGather}. */
  public String operator() {
    return operator;
  }

  /** What was bad. */
  public Kind kind() {
    return kind;
  }

  /** Where: a flat index into the operand. */
  public long position() {
    return position;
  }

  /** The bad value. */
  public long value() {
    return value;
  }

  /** The bound it breaks. */
  public long limit() {
    return limit;
  }
}
