import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { ensureImageDisk, imageDiskKey } from "../../../src/oci/image-disk.js";
import type { ImageInfo } from "../../../src/oci/image.js";
import { BlobStore } from "../../../src/oci/store/blob-store.js";
import { msbPaths } from "../../../src/paths.js";
import { sweepTemp } from "../../../src/util/atomic-file.js";
import type { Progress } from "../../../src/util/progress.js";
import { sha256 } from "../../helpers/oci-layout.js";
import { Program } from "../../helpers/program.js";
import { tar } from "../../helpers/tar-builder.js";
import { tempDir } from "../../helpers/temp-dir.js";
import type { DiskProgramInput, DiskProgramLine } from "./image-disk-program.js";

type Layers = ImageInfo["layers"];

async function storeWith(...tars: Buffer[]) {
  const paths = msbPaths(await tempDir());
  const blobs = new BlobStore(paths);
  const layers: Layers = await Promise.all(
    tars.map(async (plain) => ({
      descriptor: await blobs.putBytes(
        gzipSync(plain, { level: 1 }),
        "application/vnd.oci.image.layer.v1.tar+gzip",
      ),
      diffId: sha256(plain),
    })),
  );
  return { paths, store: { blobs }, layers };
}

const largeLayer = (): Buffer =>
  tar(
    Array.from({ length: 16 }, (_, index) => ({
      path: `file-${index}`,
      data: randomBytes(1_000_000 + index),
    })),
  );

const start = (input: DiskProgramInput) =>
  Program.start<DiskProgramLine>("image-disk-program.ts", import.meta.url, input);

async function lastLine(program: Program<DiskProgramLine>): Promise<{ lines: DiskProgramLine[] }> {
  const lines: DiskProgramLine[] = [];
  for (;;) {
    const line = await program.line();
    lines.push(line);
    if ("path" in line) return { lines };
  }
}

test("is made once, tells how far it is, and is found from then on", async () => {
  const { paths, store, layers } = await storeWith(largeLayer(), tar([{ path: "b", data: "b" }]));
  const told: Progress[] = [];
  const opts = { store, paths, onProgress: (progress: Progress) => void told.push(progress) };
  const [first, second] = await Promise.all([
    ensureImageDisk({ layers }, opts),
    ensureImageDisk({ layers }, opts),
  ]);
  expect(second).toEqual(first);
  expect(first.path).toBe(paths.imageDisk(imageDiskKey(layers.map(({ diffId }) => diffId))));
  execFileSync("fsck.erofs", [first.path]);
  const totalBytes = layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  expect(told[0]).toMatchObject({ label: "disk", state: "running", doneBytes: 0, totalBytes });
  expect(told.filter(({ state }) => state === "done")).toEqual([
    expect.objectContaining({ doneBytes: totalBytes, totalBytes }),
  ]);
  // Without its layers it can only be found.
  await rm(paths.imageBlobRoot, { recursive: true });
  expect(await ensureImageDisk({ layers }, opts)).toEqual(first);
  expect(await readdir(paths.imageDiskRoot)).toHaveLength(1);
});

test("two processes that want the same disk make it once", async () => {
  const { paths, layers } = await storeWith(largeLayer());
  const programs = [1, 2].map(() => start({ home: paths.home, layers }));
  const ends = await Promise.all(programs.map(lastLine));
  await Promise.all(programs.map((program) => program.succeeds()));
  const makers = ends.filter(({ lines }) =>
    lines.some((line) => "state" in line && line.state === "done"),
  );
  expect(makers).toHaveLength(1);
  expect(await readdir(paths.imageDiskRoot)).toHaveLength(1);
});

test("a process that is killed in the middle leaves nothing that a sweep does not remove", async () => {
  const { paths, store, layers } = await storeWith(largeLayer());
  const totalBytes = layers[0]!.descriptor.size;
  for (let round = 0; round < 10; round += 1) {
    const program = start({ home: paths.home, layers });
    const goal = Math.random() * totalBytes * 0.9;
    for (;;) {
      const line = await program.line();
      if ("path" in line || line.doneBytes >= goal) break;
    }
    await program.kill();
  }
  const disk = await ensureImageDisk({ layers }, { store, paths });
  execFileSync("fsck.erofs", [disk.path]);
  await sweepTemp(paths.imageDiskRoot);
  // A lock's file is empty; one that nobody removed goes with the next prune.
  const left = (await readdir(paths.imageDiskRoot)).filter((name) => !name.endsWith(".lock"));
  expect(left).toEqual([basename(disk.path)]);
});

test("a layer that is spoilt or missing is an error, and no disk appears", async () => {
  const { paths, store, layers } = await storeWith(tar([{ path: "a", data: "a" }]));
  const { digest } = layers[0]!.descriptor;
  const path = store.blobs.pathOf(digest);
  const bytes = await readFile(path);
  bytes[bytes.length - 1]! ^= 1;
  await rm(path);
  await mkdir(paths.imageBlobRoot, { recursive: true });
  await writeFile(path, bytes);
  await expect(ensureImageDisk({ layers }, { store, paths })).rejects.toMatchObject({
    code: "MSB_ERR_DIGEST_MISMATCH",
  });
  await expect(ensureImageDisk({ layers }, { store, paths })).rejects.toMatchObject({
    code: "MSB_ERR_IMAGE_NOT_FOUND",
  });
  expect(await readdir(paths.imageDiskRoot)).toEqual([]);
});

test("an aborted one leaves nothing", async () => {
  const { paths, store, layers } = await storeWith(largeLayer());
  const controller = new AbortController();
  const blobs = {
    stream: async function* (...args: Parameters<BlobStore["stream"]>) {
      for await (const chunk of store.blobs.stream(...args)) {
        yield chunk;
        controller.abort();
      }
    },
  };
  const making = ensureImageDisk(
    { layers },
    { store: { blobs }, paths, signal: controller.signal },
  );
  await expect(making).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  expect(await readdir(paths.imageDiskRoot)).toEqual([]);
});
