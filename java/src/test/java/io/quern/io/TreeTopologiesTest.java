package io.quern.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.tree.DraftTree;
import io.quern.tree.StaticTree;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TreeTopologiesTest {
  @TempDir Path folder;

  @Test
  void publishedTreesLoadByName() {
    TreeTopologies published = TreeTopologies.published();
    assertEquals(32, published.names().size());
    for (String name : published.names()) {
      TreeTopologies.Entry entry = published.entry(name);
      assertEquals(name, entry.name());
      assertTrue(entry.source().matches("[\\w-]+/[\\w-]+@[0-9a-f]{7} .+"), entry.source());
    }
    StaticTree medusa = published.tree("medusa/mc_sim_7b_63");
    assertEquals(64, medusa.tree().size());
    assertEquals(4, medusa.tree().maxDepth());
    assertEquals(42, medusa.tree().leaves().length);
    StaticTree recycling = published.tree("token_recycling/2.2.2");
    assertEquals(81, recycling.tree().size());
    assertEquals(40, recycling.tree().leaves().length);
    assertEquals(8, recycling.candidates());
    assertEquals(DraftTree.chain(5), published.tree("lantern/chain").tree());
  }

  @Test
  void unknownNamesListTheKnownOnes() {
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class, () -> TreeTopologies.published().tree("medusa/none"));
    assertTrue(e.getMessage().contains("'medusa/none'; there are medusa/mc_sim_7b_63, "));
  }

  @Test
  void whatWasWrittenIsReadBack() throws IOException {
    StaticTree gaps = StaticTree.inGivenOrder(List.of(new int[] {3}, new int[] {0}));
    TreeTopologies trees =
        TreeTopologies.of(
            List.of(
                new TreeTopologies.Entry("a \"quoted\" näme", "", gaps),
                new TreeTopologies.Entry("b", "by hand", StaticTree.of(DraftTree.kAry(2, 2))),
                new TreeTopologies.Entry("", "", StaticTree.of(DraftTree.root()))));
    assertReadsBack(trees);
    assertReadsBack(TreeTopologies.published());
    assertReadsBack(TreeTopologies.of(List.of()));
    Path file = folder.resolve("lines.json");
    trees.write(file);
    assertEquals(
        List.of(
            "{\"trees\":[",
            "{\"name\":\"a \\\"quoted\\\" näme\",\"source\":\"\",\"order\":\"file\","
                + "\"choices\":[[3],[0]]},",
            "{\"name\":\"b\",\"source\":\"by hand\",\"parents\":[-1,0,0,1,1,2,2]},",
            "{\"name\":\"\",\"source\":\"\",\"parents\":[-1]}]}"),
        Files.readAllLines(file));
  }

  private void assertReadsBack(TreeTopologies trees) throws IOException {
    Path file = folder.resolve("trees.json");
    trees.write(file);
    TreeTopologies read = TreeTopologies.read(file);
    assertEquals(trees.names(), read.names());
    trees.names().forEach(name -> assertEquals(trees.entry(name), read.entry(name)));
  }

  @Test
  void aUsersFileMayGiveChoicesInAnyOrder() throws IOException {
    Path file = folder.resolve("mine.json");
    Files.writeString(
        file,
        """
        {"note": "mine", "trees": [
          {"name": "x", "n_nodes": 4, "max_depth": 2, "choices": [[0, 1], [2], [0]],
           "parents": [-1, 0, 0, 1], "order": "sorted"}]}
        """);
    StaticTree tree = TreeTopologies.read(file).tree("x");
    assertArrayEquals(new int[] {0, 0, 2, 1}, tree.ranks());
  }

  @Test
  void namesAreUnique() {
    TreeTopologies.Entry x = new TreeTopologies.Entry("x", "", StaticTree.of(DraftTree.root()));
    assertThrows(IllegalArgumentException.class, () -> TreeTopologies.of(List.of(x, x)));
  }

  @Test
  void theGoldenListIsThePublishedOne() throws IOException {
    String golden = System.getProperty("quern.golden", "");
    Assumptions.assumeFalse(golden.isEmpty(), "-Dquern.golden names no folder of golden vectors");
    TreeTopologies read = TreeTopologies.read(Path.of(golden, "tree", "topologies.json"));
    assertFalse(read.names().isEmpty());
    assertEquals(read.names(), TreeTopologies.published().names());
    for (String name : read.names()) {
      assertEquals(read.entry(name), TreeTopologies.published().entry(name));
    }
  }
}
