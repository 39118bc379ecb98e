import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { MsbError } from "../../../../src/errors.js";
import { decompressed } from "../../../../src/oci/layer/decompress.js";
import { DEFAULT_LAYER_LIMITS } from "../../../../src/oci/layer/limits.js";
import { chunked } from "../../../helpers/tar-builder.js";

const zstd = (bytes: Buffer, ...args: string[]): Buffer =>
  execFileSync("zstd", ["-q", "-c", ...args], { input: bytes, maxBuffer: 2 ** 30 });

async function expand(
  bytes: Buffer | AsyncIterable<Buffer>,
  limits: Partial<typeof DEFAULT_LAYER_LIMITS> = {},
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const source = Buffer.isBuffer(bytes) ? chunked(bytes, 1000) : bytes;
  for await (const chunk of decompressed(source, { ...DEFAULT_LAYER_LIMITS, ...limits })) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const content = Buffer.concat([randomBytes(100_000), Buffer.alloc(300_000, "text ")]);
const same = async (bytes: Buffer): Promise<boolean> => (await expand(bytes)).equals(content);

describe("a layer", () => {
  test("is told by its first bytes, whatever it is called", async () => {
    expect(await same(content)).toBe(true);
    expect(await same(gzipSync(content))).toBe(true);
    expect(await same(zstd(content))).toBe(true);
    expect(await expand(Buffer.alloc(0))).toHaveLength(0);
    expect((await expand(Buffer.from("ab"))).toString()).toBe("ab");
    expect((await expand(zstd(Buffer.from("a"), "--no-check"))).toString()).toBe("a");
  });

  test("may have several gzip members or zstd frames, skippable ones among them", async () => {
    const [a, b] = [content.subarray(0, 5000), content.subarray(5000)];
    expect(await same(Buffer.concat([gzipSync(a), gzipSync(b)]))).toBe(true);
    const skippable = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 5, 0, 0, 0]), a]);
    const frames = [skippable.subarray(0, 13), zstd(a, "-19"), zstd(b, "--no-check")];
    expect(await same(Buffer.concat(frames))).toBe(true);
  });

  test("that ends early or is damaged is refused", async () => {
    for (const packed of [gzipSync(content), zstd(content)]) {
      await expect(expand(packed.subarray(0, packed.length - 20))).rejects.toMatchObject({
        code: "MSB_ERR_IMAGE_INVALID",
      });
    }
    const broken = gzipSync(content);
    broken.fill(0xff, 14, 60);
    const reservedBlockType = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0x20, 0b111, 0, 0]);
    for (const bytes of [broken, reservedBlockType, zstd(content).subarray(0, 6)]) {
      await expect(expand(bytes)).rejects.toMatchObject({ code: "MSB_ERR_IMAGE_INVALID" });
    }
  });

  test("passes on the error of its source", async () => {
    const lost = new MsbError("MSB_ERR_REGISTRY_UNAVAILABLE", "lost");
    for (const packed of [content, gzipSync(content), zstd(content)]) {
      const source = (async function* () {
        yield packed.subarray(0, 1000);
        throw lost;
      })();
      await expect(expand(source)).rejects.toBe(lost);
    }
  });
});

describe("a bomb", () => {
  test("is stopped by the limit of bytes", async () => {
    const bomb = gzipSync(Buffer.alloc(10_000_000));
    await expect(expand(bomb, { maxLayerBytes: 1_000_000 })).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_LIMIT",
      details: { option: "maxLayerBytes", limit: 1_000_000 },
    });
  });

  test("is stopped by the ratio, once it is large", async () => {
    const bomb = gzipSync(Buffer.alloc(300 * 1024 ** 2));
    let seenBytes = 0;
    const reading = (async () => {
      for await (const chunk of decompressed(chunked(bomb, 4096), DEFAULT_LAYER_LIMITS)) {
        seenBytes += chunk.length;
      }
    })();
    await expect(reading).rejects.toMatchObject({ details: { option: "maxRatio" } });
    expect(seenBytes).toBeLessThan(257 * 1024 ** 2);
  });

  test("that asks for a huge zstd window gets none", async () => {
    // A frame of window descriptor 0xff: some 3.75 TiB; then one whose single segment says it has 1 GiB.
    const window = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0xff, 1, 0, 0]);
    const segment = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40, 1, 0, 0]);
    for (const frame of [window, segment, Buffer.concat([zstd(content), window])]) {
      await expect(expand(frame)).rejects.toMatchObject({ code: "MSB_ERR_IMAGE_LIMIT" });
    }
  });
});
