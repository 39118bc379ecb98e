import { execFileSync } from "node:child_process";
import { open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { DEFAULT_LAYER_LIMITS, type LayerLimits } from "../../../src/oci/layer/limits.js";
import { writeImage } from "../../../src/oci/layer/write-image.js";
import { nastyLayers } from "../../helpers/nasty-layers.js";
import { sha256 } from "../../helpers/oci-layout.js";
import { chunked, type EntrySpec, tar } from "../../helpers/tar-builder.js";
import { tempDir } from "../../helpers/temp-dir.js";

const uuid = Buffer.alloc(16, 0x81);

/** Makes a disk of these layers and has it checked. */
async function makeDisk(
  layers: readonly Buffer[],
  opts: { limits?: Partial<LayerLimits>; chunkBytes?: number; dir?: string } = {},
) {
  const dir = opts.dir ?? (await tempDir());
  const path = join(dir, "image.erofs");
  const disk = await open(path, "w+");
  try {
    const info = await writeImage(
      disk,
      path,
      layers.map((layer) => ({
        diffId: sha256(layer[0] === 0x1f ? gunzipSync(layer) : layer),
        open: () => chunked(layer, opts.chunkBytes ?? 65_536),
      })),
      { limits: { ...DEFAULT_LAYER_LIMITS, ...opts.limits }, uuid },
    );
    execFileSync("fsck.erofs", [path]);
    return { path, info, dir };
  } finally {
    await disk.close();
  }
}

/** What fsck.erofs takes out of the disk. */
function extract(path: string, dir: string): string {
  const target = join(dir, "extracted");
  execFileSync("fsck.erofs", [`--extract=${target}`, "--no-preserve", path]);
  return target;
}

test("layers with everything in them make a disk that fsck.erofs finds clean, the same every time", async () => {
  const [bottom, middle, top] = nastyLayers() as [Buffer, Buffer, Buffer];
  const first = await makeDisk([bottom, gzipSync(middle), top]);
  const second = await makeDisk([bottom, middle, gzipSync(top)], { chunkBytes: 777 });
  const bytes = await readFile(first.path);
  expect(bytes.equals(await readFile(second.path))).toBe(true);
  expect(bytes).toHaveLength(first.info.sizeBytes);
  expect(await readdir(first.dir)).toEqual(["image.erofs"]);
});

test("files come out as they went in", async () => {
  const layers = [
    tar([
      { path: "a", data: Buffer.alloc(10_000, "a") },
      { path: "b/c", data: "small" },
    ]),
    tar([{ path: "a", data: "replaced" }, { path: "b/.wh.c" }, { path: "d", data: "new" }]),
  ];
  const { path, dir } = await makeDisk(layers);
  const target = extract(path, dir);
  expect((await readdir(target, { recursive: true })).toSorted()).toEqual(["a", "b", "d"]);
  expect(await readFile(join(target, "a"), "utf8")).toBe("replaced");
});

test("what a layer removed is not on the disk", async () => {
  const secret = Buffer.alloc(100_000, "secret! ");
  const rest: EntrySpec = { path: "rest", data: Buffer.alloc(50_000, "kept ") };
  const layers = [
    tar([{ path: "secret", data: secret }, { path: "hint", data: "secret! tail" }, rest]),
    tar([{ path: ".wh.secret" }, { path: ".wh.hint" }]),
  ];
  const { path } = await makeDisk(layers);
  expect((await readFile(path)).includes("secret!")).toBe(false);
  expect((await stat(path)).size).toBeLessThan(80_000);
});

test("a folder of 100,000 entries, and one image of 9 GiB of holes", async () => {
  const names = Array.from({ length: 100_000 }, (_, index) => `d/${index}`);
  const many = await makeDisk([tar(names.map((path) => ({ path })))]);
  expect(many.info.inodeCount).toBe(100_002);
  const sparse = await makeDisk([
    tar([
      {
        path: "big",
        data: "end",
        pax: [
          ["GNU.sparse.size", `${9 * 1024 ** 3}`],
          ["GNU.sparse.map", `${9 * 1024 ** 3 - 3},3`],
        ],
      },
    ]),
  ]);
  const { size, blocks } = await stat(sparse.path);
  expect(size).toBeGreaterThan(9 * 1024 ** 3);
  expect(blocks * 512).toBeLessThan(1024 ** 2);
});

describe("refused, and nothing is left but the caller's file:", () => {
  const file = (path: string): EntrySpec => ({ path, data: "x" });
  test.each<[string, EntrySpec[], string, Partial<LayerLimits>?]>([
    ["a path that climbs", [file("../x")], "MSB_ERR_UNSAFE_LAYER"],
    [
      "a link that climbs",
      [{ path: "l", type: "2", linkPath: "../../x" }, file("l/y")],
      "MSB_ERR_UNSAFE_LAYER",
    ],
    ["a whiteout that climbs", [file("a/.wh...")], "MSB_ERR_UNSAFE_LAYER"],
    ["too many entries", [file("a"), file("b")], "MSB_ERR_IMAGE_LIMIT", { maxEntries: 1 }],
    ["too many bytes", [file("a"), file("b")], "MSB_ERR_IMAGE_LIMIT", { maxFileBytes: 1 }],
  ])("%s", async (_, entries, code, limits = {}) => {
    const dir = await tempDir();
    await expect(makeDisk([tar(entries)], { limits, dir })).rejects.toMatchObject({ code });
    expect(await readdir(dir)).toEqual(["image.erofs"]);
  });

  test("another layer than the config names", async () => {
    const path = join(await tempDir(), "disk");
    const disk = await open(path, "w+");
    const layers = [
      { diffId: sha256(Buffer.from("other")), open: () => chunked(tar([file("a")])) },
    ];
    await expect(
      writeImage(disk, path, layers, { limits: DEFAULT_LAYER_LIMITS, uuid }),
    ).rejects.toMatchObject({ code: "MSB_ERR_DIGEST_MISMATCH" });
    await disk.close();
  });

  test("an abort in the middle", async () => {
    const path = join(await tempDir(), "disk");
    const disk = await open(path, "w+");
    const controller = new AbortController();
    const layer = tar([{ path: "a", data: Buffer.alloc(10_000_000) }]);
    const layers = [{ diffId: sha256(layer), open: () => chunked(layer, 1000) }];
    const writing = writeImage(disk, path, layers, {
      limits: DEFAULT_LAYER_LIMITS,
      uuid,
      signal: controller.signal,
      onRead: (count) => count > 100_000 && controller.abort(),
    });
    await expect(writing).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
    await disk.close();
  });
});
