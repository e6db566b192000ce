package io.quern.bench.measure;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class InstancesTest {
  private final List<String> calls = new ArrayList<>();

  private Contender instance(int number) {
    PlainContender plain =
        PlainContender.writing(
            "loop",
            Map.of("out", MemorySegment.ofArray(new byte[] {(byte) number})),
            set -> calls.add(number + ":" + set));
    return plain;
  }

  @Test
  void samplesAndRunsGoRound() {
    Instances instances = new Instances(IntStream.range(0, 3).mapToObj(this::instance).toList());
    instances.run(5);
    instances.seconds(1, 2, 10);
    instances.run(6);
    instances.run(7);
    assertEquals(List.of("0:5", "1:1", "1:2", "2:6", "0:7"), calls);
    assertEquals(0, instances.results().get("out").get(java.lang.foreign.ValueLayout.JAVA_BYTE, 0));
  }
}
