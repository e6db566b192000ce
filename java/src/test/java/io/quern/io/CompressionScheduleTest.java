package io.quern.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CompressionScheduleTest {
  private static final String PUBLISHED =
      """
      {"ViT-B-DeiT": {"8.7": {"prune_kept_num": "[197, 192, 3]", "merge_kept_num": "[197, 178, 3]"}},
       "CAFormer-S36": {"5.2": {"prune_kept_num": "None", "merge_kept_num": "[196,193 , 137]"}}}
      """;

  @TempDir private Path folder;

  @Test
  void readsThePublishedForm() throws IOException {
    var schedules = CompressionSchedule.readPublished(file(PUBLISHED));
    assertEquals(List.of("ViT-B-DeiT", "CAFormer-S36"), List.copyOf(schedules.keySet()));
    CompressionSchedule vit = schedules.get("ViT-B-DeiT").get("8.7");
    assertEquals(List.of(197, 192, 3), vit.prune());
    assertEquals(List.of(197, 178, 3), vit.tokensAfter(197));
    CompressionSchedule former = schedules.get("CAFormer-S36").get("5.2");
    assertEquals(List.of(), former.prune());
    assertEquals(List.of(196, 193, 137), former.keep());
  }

  @Test
  void readsThePlainForm() throws IOException {
    assertEquals(
        new CompressionSchedule(List.of(9, 7), List.of(8, 6)),
        CompressionSchedule.read(file("{\"prune\": [9, 7], \"keep\": [8, 6]}")));
    assertEquals(
        new CompressionSchedule(List.of(), List.of(8, 6)),
        CompressionSchedule.read(file("{\"keep\": [8, 6]}")));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "[]",
        "1",
        "{\"keep\": [1]",
        "{\"keep\": []}",
        "{\"keep\": [0]}",
        "{\"keep\": [-1]}",
        "{\"keep\": [1.5]}",
        "{\"keep\": [99999999999]}",
        "{\"keep\": [16777217]}",
        "{\"keep\": \"[1]\"}",
        "{\"keep\": [1], \"keep\": [1]}",
        "{\"keep\": [1], \"prune\": [1, 2]}",
        "{\"keep\": [1], \"other\": [1]}",
        "{\"prune\": [1]}",
        "{\"keep\": [[[[[[1]]]]]]}",
        "{\"keep\": [1]} {}"
      })
  void rejectsWhatIsNoPlainSchedule(String text) throws IOException {
    Path file = file(text);
    Exception thrown =
        assertThrows(CompressionScheduleException.class, () -> CompressionSchedule.read(file));
    assertTrue(thrown.getMessage().startsWith(file.toString()), thrown::getMessage);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "[1, ]",
        "[",
        "]",
        "",
        "None ",
        "[1] + [2]",
        "[__import__('os')]",
        "[1e3]",
        "[None]",
        "[0]"
      })
  void rejectsWhatIsNoPublishedList(String list) throws IOException {
    Path file = file(PUBLISHED.replace("[197, 178, 3]", list));
    assertThrows(CompressionScheduleException.class, () -> CompressionSchedule.readPublished(file));
  }

  @Test
  void rejectsWhatIsTooLarge() throws IOException {
    Path file = file(" ".repeat(CompressionSchedule.MAX_BYTES + 1));
    assertThrows(CompressionScheduleException.class, () -> CompressionSchedule.read(file));
    Path many = file("{\"keep\": [" + "1,".repeat(CompressionSchedule.MAX_BLOCKS) + "1]}");
    assertThrows(CompressionScheduleException.class, () -> CompressionSchedule.read(many));
  }

  @Test
  void mutatedFilesAreReadOrRejected() throws IOException {
    SplittableRandom random = new SplittableRandom(1);
    for (int i = 0; i < 3000; i++) {
      byte[] bytes = PUBLISHED.getBytes(StandardCharsets.UTF_8);
      for (int change = random.nextInt(1, 6); change > 0; change--) {
        bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(32, 127);
      }
      Path file = folder.resolve("mutated.json");
      Files.write(file, bytes);
      try {
        CompressionSchedule.readPublished(file);
      } catch (CompressionScheduleException rejected) {
        assertTrue(rejected.getMessage().length() < 1000, rejected::getMessage);
      }
    }
  }

  @Test
  void mergesPerLayer() {
    assertArrayEquals(
        new int[] {16, 14, 13, 11, 10, 8, 7, 5, 4, 2, 1, 0}, CompressionSchedule.merges(12, 8, -1));
    assertArrayEquals(new int[] {8}, CompressionSchedule.merges(1, 8));
  }

  private Path file(String text) throws IOException {
    Path file = folder.resolve("schedule.json");
    return Files.writeString(file, text);
  }
}
