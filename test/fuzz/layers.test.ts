/** Layers from strangers: whatever the bytes, an image or an MsbError, never a crash, a hang or a climb. */
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { FileContent } from "../../src/disk/erofs-data.js";
import { layOut } from "../../src/disk/erofs-layout.js";
import type { DirectoryNode } from "../../src/disk/erofs-tree.js";
import { isMsbError } from "../../src/errors.js";
import { decompressed } from "../../src/oci/layer/decompress.js";
import { FileTree } from "../../src/oci/layer/file-tree.js";
import { DEFAULT_LAYER_LIMITS } from "../../src/oci/layer/limits.js";
import { TarReader } from "../../src/oci/layer/tar-reader.js";
import { nastyLayers } from "../helpers/nasty-layers.js";
import { chunked, type EntrySpec, tar, tarEntry } from "../helpers/tar-builder.js";

const RUNS = Number(process.env["MSB_FUZZ_LAYERS"] ?? 3000);
const EXPECTED = ["MSB_ERR_IMAGE_INVALID", "MSB_ERR_UNSAFE_LAYER", "MSB_ERR_IMAGE_LIMIT"];
const limits = { ...DEFAULT_LAYER_LIMITS, maxLayerBytes: 64 * 1024 ** 2 };

/** Reads layers to a tree; undefined when one was refused. */
async function read(layers: readonly Buffer[], chunkBytes: number): Promise<FileTree | undefined> {
  const tree = new FileTree();
  const content: FileContent = { sizeBytes: 0, block: 0, blockCount: 0, tail: null };
  try {
    for (const layer of layers) {
      tree.beginLayer();
      const reader = new TarReader(decompressed(chunked(layer, chunkBytes), limits));
      for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
        tree.add(entry, entry.kind === "file" ? content : undefined);
      }
    }
    return tree;
  } catch (error) {
    if (!isMsbError(error) || !EXPECTED.includes(error.code)) throw error;
    return undefined;
  }
}

function expectSound(root: DirectoryNode): void {
  const { placements } = layOut(root);
  for (const { node } of placements.values()) {
    if (node.kind !== "directory") continue;
    for (const name of node.entries.keys()) {
      expect(["", ".", ".."]).not.toContain(name);
      expect(name.includes("/") || name.includes("\0")).toBe(false);
      expect(name.length).toBeLessThanOrEqual(255);
    }
  }
}

const seeds: readonly Buffer[] = [
  ...nastyLayers().slice(0, 2),
  tar([
    { path: "a/", type: "5" },
    { path: "a/b", data: "x", pax: [["SCHILY.xattr.user.a", "b"]] },
    { path: "l", type: "2", linkPath: "a" },
    { path: "l/h", type: "1", linkPath: "a/b" },
    { path: "n".repeat(150), data: "y" },
  ]),
];

test("mutated layers", async () => {
  const mutation = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
  });
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: seeds.length - 1 }),
      fc.array(mutation, { minLength: 1, maxLength: 4 }),
      fc.constantFrom(511, 4096, 1_000_000),
      fc.boolean(),
      async (seed, mutations, chunkBytes, isCut) => {
        const bytes = Buffer.from(seeds[seed]!);
        for (const { at, bytes: put } of mutations) {
          bytes.set(put.subarray(0, bytes.length), Math.floor(at * (bytes.length - put.length)));
        }
        const tree = await read(
          [isCut ? bytes.subarray(0, Math.floor(bytes.length * mutations[0]!.at)) : bytes],
          chunkBytes,
        );
        if (tree !== undefined) {
          accepted += 1;
          expectSound(tree.root);
        }
      },
    ),
    { numRuns: RUNS },
  );
  // Mutations that hit data only leave a good layer.
  expect(accepted).toBeGreaterThan(0);
});

test("well-formed layers of hostile entries", async () => {
  const part = fc.constantFrom(
    "a",
    "b",
    "c",
    ".",
    "..",
    "",
    ".wh.a",
    ".wh..wh..opq",
    ".wh.",
    ".wh..",
  );
  const path = fc
    .array(part, { minLength: 1, maxLength: 5 })
    .map((parts) => parts.join("/"))
    .filter((text) => text !== "");
  const entry = fc.record({
    path,
    linkPath: path,
    type: fc.constantFrom("0", "1", "2", "3", "5", "6"),
    data: fc.constantFrom("", "data"),
  });
  const layer = fc.array(entry, { maxLength: 12 }).map((entries) => tar(entries.map(header)));
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 4 }), async (layers) => {
      const tree = await read([gzipSync(layers[0]!), ...layers.slice(1)], 65_536);
      if (tree === undefined) return;
      accepted += 1;
      expectSound(tree.root);
    }),
    { numRuns: RUNS },
  );
  expect(accepted).toBeGreaterThan(0);
});

/** Data behind what is no file would be taken for the next header. */
function header(spec: EntrySpec): Buffer {
  return tarEntry(spec.type === "0" ? spec : { ...spec, data: "" });
}
