/** Copies of disks: the same bytes, the same holes, nobody else's to read. */
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { native, tempFolder } from "./vmm-fixture.js";

const MIB = 1024 ** 2;

function sparseFile(path: string, sizeBytes: number, pieces: ReadonlyMap<number, string>): void {
  writeFileSync(path, "");
  truncateSync(path, sizeBytes);
  const fd = openSync(path, "r+");
  for (const [at, text] of pieces) writeSync(fd, text, at);
  closeSync(fd);
}

describe("cloneSparse", () => {
  test("keeps content and holes", async () => {
    const folder = tempFolder();
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    const size = 64 * MIB + 123;
    sparseFile(
      from,
      size,
      new Map([
        [0, "begin"],
        [20 * MIB, "middle".repeat(50_000)],
        [size - 3, "end"],
      ]),
    );
    const result = await native.cloneSparse(from, to);
    expect(result.sizeBytes).toBe(size);
    expect(result.dataBytes).toBeGreaterThan(300_000);
    expect(result.dataBytes).toBeLessThan(MIB);
    expect(statSync(to).size).toBe(size);
    expect(statSync(to).blocks * 512).toBeLessThan(2 * MIB);
    expect(statSync(to).mode & 0o777).toBe(0o600);
    expect(readFileSync(to).equals(readFileSync(from))).toBe(true);
  });

  test.each([
    ["nothing", 0],
    ["one hole", 5 * MIB],
  ])("copies a file that is %s", async (_, size) => {
    const folder = tempFolder();
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    sparseFile(from, size, new Map());
    expect(await native.cloneSparse(from, to)).toEqual({ sizeBytes: size, dataBytes: 0 });
    expect(statSync(to)).toMatchObject({ size, blocks: 0 });
  });

  test("copies 4 GiB of holes at once", async () => {
    const folder = tempFolder();
    sparseFile(join(folder, "from"), 4096 * MIB, new Map([[4095 * MIB, "x"]]));
    const begin = performance.now();
    const result = await native.cloneSparse(join(folder, "from"), join(folder, "to"));
    expect(result.sizeBytes).toBe(4096 * MIB);
    expect(performance.now() - begin).toBeLessThan(1_000);
  });

  test("does not touch a file that is there", async () => {
    const folder = tempFolder();
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    writeFileSync(from, "new");
    writeFileSync(to, "old");
    await expect(native.cloneSparse(from, to)).rejects.toMatchObject({
      code: "MSB_NATIVE",
      operation: "open",
      errno: 17,
    });
    expect(readFileSync(to, "latin1")).toBe("old");
  });

  test("leaves nothing when there is nothing to copy", async () => {
    const to = join(tempFolder(), "to");
    await expect(native.cloneSparse("/nonexistent", to)).rejects.toMatchObject({ errno: 2 });
    await expect(native.cloneSparse("/tmp", to)).rejects.toMatchObject({ errno: 22 });
    expect(existsSync(to)).toBe(false);
  });

  test("refuses what is no path", () => {
    expect(() => native.cloneSparse("", "/x")).toThrow(TypeError);
    expect(() => native.cloneSparse(1 as never, "/x")).toThrow(TypeError);
  });
});
