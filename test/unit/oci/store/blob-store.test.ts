import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, expect, test } from "vitest";
import { MsbError } from "../../../../src/errors.js";
import { hexOf } from "../../../../src/oci/digest.js";
import { BlobStore } from "../../../../src/oci/store/blob-store.js";
import type { OpenBlob } from "../../../../src/oci/store/fetch-blob.js";
import { type MsbPaths, msbPaths } from "../../../../src/paths.js";
import { deferred } from "../../../../src/util/async.js";
import type { Progress } from "../../../../src/util/progress.js";
import {
  chunked,
  expectedOf,
  hangingBody,
  lost,
  someBytes,
  sourceOf,
} from "../../../helpers/blobs.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const RETRY = { attempts: 3, baseDelayMs: 1, maxDelayMs: 1 };
const bytes = someBytes(10_000);
const blob = expectedOf(bytes);
const nothing: OpenBlob = () => Promise.reject(new Error("nobody should ask"));

async function openStore(): Promise<{ store: BlobStore; paths: MsbPaths }> {
  const paths = msbPaths(await tempDir());
  return { store: new BlobStore(paths, { retry: RETRY }), paths };
}

async function leavePartial(paths: MsbPaths, content: Uint8Array): Promise<void> {
  await mkdir(paths.imagePartialRoot, { recursive: true });
  await writeFile(paths.imagePartial("sha256", hexOf(blob.digest)), content);
}

const partials = (paths: MsbPaths): Promise<string[]> =>
  readdir(paths.imagePartialRoot).catch(() => []);

describe("a blob that is fetched", () => {
  test("is there whole, and nothing else", async () => {
    const { store, paths } = await openStore();
    expect(await store.has(blob)).toBe(false);
    expect(await store.read(blob)).toBeUndefined();
    const source = sourceOf(bytes);
    await store.fetch(blob, source.open);
    await store.fetch(blob, nothing);
    expect(await store.read(blob)).toEqual(bytes);
    expect(source.offsets).toEqual([0]);
    expect(await partials(paths)).toEqual([]);
    expect((await stat(store.pathOf(blob.digest))).mode & 0o777).toBe(0o644);
  });

  test("may be empty, and is then not asked for", async () => {
    const { store } = await openStore();
    const empty = expectedOf(Buffer.alloc(0));
    await store.fetch(empty, nothing);
    expect(await store.read(empty)).toEqual(Buffer.alloc(0));
  });

  test("is gone on with where the last one stopped", async () => {
    const { store, paths } = await openStore();
    await leavePartial(paths, bytes.subarray(0, 4_321));
    const source = sourceOf(bytes);
    await store.fetch(blob, source.open);
    expect(source.offsets).toEqual([4_321]);
    expect(await store.read(blob)).toEqual(bytes);
  });

  test("is only checked when it was complete but for its name", async () => {
    const { store, paths } = await openStore();
    await leavePartial(paths, bytes);
    await store.fetch(blob, nothing);
    expect(await store.read(blob)).toEqual(bytes);
  });

  test.each([
    ["spoilt", Buffer.from("spoilt"), [6, 0]],
    ["too long", Buffer.concat([bytes, bytes]), [0]],
    ["spoilt and as long", someBytes(10_000, 2), [0]],
  ])("is fetched anew when what was left is %s", async (_, left, offsets) => {
    const { store, paths } = await openStore();
    await leavePartial(paths, left);
    const source = sourceOf(bytes);
    await store.fetch(blob, source.open);
    expect(source.offsets).toEqual(offsets);
    expect(await store.read(blob)).toEqual(bytes);
  });

  test("begins anew at a registry that cannot send parts", async () => {
    const { store, paths } = await openStore();
    await leavePartial(paths, bytes.subarray(0, 500));
    const source = sourceOf(bytes, { hasRanges: false, breaksAfter: [6_000, 7_000] });
    await store.fetch(blob, source.open);
    expect(source.offsets).toEqual([500, 6_000, 7_000]);
    expect(await store.read(blob)).toEqual(bytes);
  });

  test("survives any number of lost connections that each bring something", async () => {
    const { store } = await openStore();
    const source = sourceOf(bytes, { breaksAfter: Array.from({ length: 9 }, () => 1_000) });
    await store.fetch(blob, source.open);
    expect(source.offsets).toEqual([0, 1e3, 2e3, 3e3, 4e3, 5e3, 6e3, 7e3, 8e3, 9e3]);
    expect(await store.read(blob)).toEqual(bytes);
  });

  test("is given up when connections bring nothing, and keeps what it has", async () => {
    const { store, paths } = await openStore();
    const source = sourceOf(bytes, { breaksAfter: [1_000, 0, 0, 0, 0, 0] });
    await expect(store.fetch(blob, source.open)).rejects.toMatchObject({
      code: "MSB_ERR_REGISTRY_UNAVAILABLE",
    });
    expect(source.offsets).toEqual([0, 1_000, 1_000]);
    const left = paths.imagePartial("sha256", hexOf(blob.digest));
    expect(await readFile(left)).toEqual(bytes.subarray(0, 1_000));
  });

  test("is asked for again when a body ends before it should", async () => {
    const { store } = await openStore();
    const offsets: number[] = [];
    await store.fetch(blob, async (offset) => {
      offsets.push(offset);
      return { offset, body: chunked(bytes.subarray(offset, offset + 6_000)) };
    });
    expect(offsets).toEqual([0, 6_000]);
    expect(await store.read(blob)).toEqual(bytes);
  });

  test("is not tried again after an error that will not pass", async () => {
    const { store, paths } = await openStore();
    const breakWith = (): Error => new MsbError("MSB_ERR_REGISTRY_AUTH", "no");
    const source = sourceOf(bytes, { breaksAfter: [0], breakWith });
    await expect(store.fetch(blob, source.open)).rejects.toMatchObject({
      code: "MSB_ERR_REGISTRY_AUTH",
    });
    expect(source.offsets).toEqual([0]);
    expect(await partials(paths)).toEqual([]);
  });

  test.each([
    ["other bytes", someBytes(10_000, 3)],
    ["more bytes", Buffer.concat([bytes, Buffer.from("!")])],
    ["endless bytes", Buffer.concat([bytes, bytes, bytes])],
  ])("is refused and thrown away when the registry sends %s", async (_, sent) => {
    const { store, paths } = await openStore();
    const source = sourceOf(sent);
    await expect(store.fetch(blob, source.open)).rejects.toMatchObject({
      code: "MSB_ERR_DIGEST_MISMATCH",
    });
    expect(source.offsets).toEqual([0]);
    expect(await store.has(blob)).toBe(false);
    expect(await partials(paths)).toEqual([]);
  });

  test("is not fetched when there is no room for it", async () => {
    const { store } = await openStore();
    const huge = { digest: blob.digest, size: Number.MAX_SAFE_INTEGER };
    await expect(store.fetch(huge, nothing)).rejects.toMatchObject({
      code: "MSB_ERR_NO_SPACE",
      details: { neededBytes: Number.MAX_SAFE_INTEGER },
    });
  });

  test("is let go at once by an aborted signal, even when its source hangs, and keeps what it has", async () => {
    const { store, paths } = await openStore();
    const controller = new AbortController();
    const body = hangingBody(bytes.subarray(0, 2_000), () => controller.abort());
    const fetching = store.fetch(blob, async (offset) => ({ offset, body }), {
      signal: controller.signal,
    });
    await expect(fetching).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
    const left = paths.imagePartial("sha256", hexOf(blob.digest));
    expect(await readFile(left)).toEqual(bytes.subarray(0, 2_000));
  });

  test("is let go when the source does not even answer, and its late answer with it", async () => {
    const { store, paths } = await openStore();
    const controller = new AbortController();
    const answer = deferred<Awaited<ReturnType<OpenBlob>>>();
    const open: OpenBlob = () => {
      controller.abort();
      return answer.promise;
    };
    await expect(store.fetch(blob, open, { signal: controller.signal })).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
    expect(await partials(paths)).toEqual([]);
    const isEnded = deferred<void>();
    const body = chunked(bytes);
    body.return = async () => {
      isEnded.resolve();
      return { done: true, value: undefined };
    };
    answer.resolve({ offset: 0, body });
    await isEnded.promise;
  });

  test("is fetched once for all who want it at the same time", async () => {
    const { store, paths } = await openStore();
    const other = new BlobStore(paths);
    const source = sourceOf(bytes);
    const states: string[] = [];
    const [isAsked, allWait] = [deferred<void>(), deferred<void>()];
    const first = store.fetch(blob, async (offset, signal) => {
      isAsked.resolve();
      await allWait.promise;
      return source.open(offset, signal);
    });
    await isAsked.promise;
    const onProgress = ({ state }: Progress): void => {
      if (states.push(state) === 5) allWait.resolve();
    };
    const others = Array.from({ length: 5 }, () => other.fetch(blob, nothing, { onProgress }));
    await Promise.all([first, ...others]);
    expect(source.offsets).toEqual([0]);
    expect(states).toEqual([...Array(5).fill("waiting"), ...Array(5).fill("exists")]);
    expect(await partials(paths)).toEqual([]);
  });

  test("is taken over by the next when the first gives up", async () => {
    const { store } = await openStore();
    const controller = new AbortController();
    const hangs = deferred<void>();
    const body = hangingBody(bytes.subarray(0, 3_000), hangs.resolve);
    const first = store.fetch(blob, async (offset) => ({ offset, body }), {
      signal: controller.signal,
    });
    const failure = first.catch((error: unknown) => error);
    await hangs.promise;
    const source = sourceOf(bytes);
    await store.fetch(blob, source.open, {
      onProgress: ({ state }) => state === "waiting" && controller.abort(),
    });
    expect(await failure).toMatchObject({ code: "MSB_ERR_ABORTED" });
    expect(source.offsets).toEqual([3_000]);
  });

  test("is held before it has its name", async () => {
    const paths = msbPaths(await tempDir());
    const held: [string, boolean][] = [];
    const store: BlobStore = new BlobStore(paths, {
      beforePlace: async (digest) => void held.push([digest, await store.has(blob)]),
    });
    await store.fetch(blob, sourceOf(bytes).open);
    expect(held).toEqual([[blob.digest, false]]);
  });

  test("tells how far it is, from its start to its end", async () => {
    const { store } = await openStore();
    const seen: Progress[] = [];
    const source = sourceOf(bytes, { breaksAfter: [4_000] });
    await store.fetch(blob, source.open, { label: "layer x", onProgress: (p) => seen.push(p) });
    const task = { id: blob.digest, label: "layer x", totalBytes: 10_000 };
    expect(seen[0]).toEqual({ ...task, state: "running", doneBytes: 0 });
    expect(seen).toContainEqual({
      ...task,
      state: "retrying",
      doneBytes: 4_000,
      note: lost().message,
    });
    expect(seen.at(-1)).toEqual({ ...task, state: "done", doneBytes: 10_000 });
  });
});

describe("a spoilt blob", () => {
  test.each([
    ["changed", someBytes(10_000, 4)],
    ["cut", bytes.subarray(0, 9_999)],
    ["grown", Buffer.concat([bytes, bytes])],
  ])("that was %s is found when it is read, and removed", async (_, content) => {
    const { store } = await openStore();
    for (const read of [() => store.read(blob), () => drain(store.stream(blob))]) {
      await store.fetch(blob, sourceOf(bytes).open);
      await writeFile(store.pathOf(blob.digest), content);
      await expect(read()).rejects.toMatchObject({ code: "MSB_ERR_DIGEST_MISMATCH" });
      expect(await store.sizeOf(blob.digest)).toBeUndefined();
    }
  });

  test("of another size is not there, and is replaced", async () => {
    const { store } = await openStore();
    await store.fetch(blob, sourceOf(bytes).open);
    await writeFile(store.pathOf(blob.digest), "short");
    expect(await store.has(blob)).toBe(false);
    await store.fetch(blob, sourceOf(bytes).open);
    expect(await store.read(blob)).toEqual(bytes);
  });

  test("is healed when the same bytes are put again", async () => {
    const { store } = await openStore();
    const { digest } = await store.putBytes(bytes, "text/plain");
    await writeFile(store.pathOf(digest), someBytes(10_000, 5));
    await store.putBytes(bytes, "text/plain");
    expect(await store.read(blob)).toEqual(bytes);
  });
});

describe("links in the way", () => {
  test("of a blob are not followed and are replaced", async () => {
    const { store, paths } = await openStore();
    const target = `${paths.home}/target`;
    await writeFile(target, bytes);
    await mkdir(dirname(store.pathOf(blob.digest)), { recursive: true });
    await symlink(target, store.pathOf(blob.digest));
    expect(await store.has(blob)).toBe(false);
    await expect(store.read(blob)).rejects.toMatchObject({ code: "MSB_ERR_HOME_UNUSABLE" });
    await store.fetch(blob, sourceOf(bytes).open);
    expect(await store.read(blob)).toEqual(bytes);
    expect(await readFile(target)).toEqual(bytes);
  });

  test("of a download are refused", async () => {
    const { store, paths } = await openStore();
    await mkdir(paths.imagePartialRoot, { recursive: true });
    await symlink(`${paths.home}/target`, paths.imagePartial("sha256", hexOf(blob.digest)));
    await expect(store.fetch(blob, nothing)).rejects.toMatchObject({
      code: "MSB_ERR_HOME_UNUSABLE",
      message: expect.stringContaining("ELOOP"),
    });
    await expect(stat(`${paths.home}/target`)).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe("bytes that are added", () => {
  test("are kept under their digest, once", async () => {
    const { store, paths } = await openStore();
    const descriptor = await store.add(chunked(bytes), "application/x");
    expect(descriptor).toEqual({ mediaType: "application/x", ...blob });
    expect(await store.add(chunked(bytes), "application/x")).toEqual(descriptor);
    expect(await store.putBytes(bytes, "application/x")).toEqual(descriptor);
    expect(await collect(store.stream(descriptor))).toEqual(bytes);
    expect(await partials(paths)).toEqual([]);
  });

  test.each([
    ["too many", () => chunked(bytes), { maxBytes: 9_999 }, "MSB_ERR_IMAGE_LIMIT"],
    ["aborted", () => hangingBody(bytes), { signal: AbortSignal.abort() }, "MSB_ERR_ABORTED"],
    [
      "broken off",
      () => sourceOf(bytes, { breaksAfter: [5_000] }),
      {},
      "MSB_ERR_REGISTRY_UNAVAILABLE",
    ],
  ])("leave nothing when they are %s", async (_, make, opts, code) => {
    const { store, paths } = await openStore();
    const made = make();
    const body = "open" in made ? (await made.open(0)).body : made;
    await expect(store.add(body, "x", opts)).rejects.toMatchObject({ code });
    expect(await partials(paths)).toEqual([]);
    expect(await readdir(paths.imageBlobRoot).catch(() => [])).toEqual([]);
  });
});

test("a document that is too large to be one is not read", async () => {
  const { store } = await openStore();
  await expect(store.read({ digest: blob.digest, size: 2 ** 30 })).rejects.toMatchObject({
    code: "MSB_ERR_IMAGE_LIMIT",
  });
});

test("a stream of what is not there says so, and an aborted one ends", async () => {
  const { store } = await openStore();
  await expect(drain(store.stream(blob))).rejects.toMatchObject({
    code: "MSB_ERR_IMAGE_NOT_FOUND",
  });
  await store.fetch(blob, sourceOf(bytes).open);
  await expect(drain(store.stream(blob, { signal: AbortSignal.abort() }))).rejects.toMatchObject({
    code: "MSB_ERR_ABORTED",
  });
});

test("a store whose folder cannot be made names it", async () => {
  const { store, paths } = await openStore();
  await writeFile(paths.imageRoot, "a file");
  await expect(store.fetch(blob, nothing)).rejects.toMatchObject({ code: "MSB_ERR_HOME_UNUSABLE" });
});

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function drain(stream: AsyncIterable<Buffer>): Promise<void> {
  await collect(stream);
}
