import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { KeptReads } from "../../../src/util/kept-reads.js";
import { tempDir } from "../../helpers/temp-dir.js";

let path: string;
let reads: number;
beforeEach(async () => {
  path = join(await tempDir(), "file");
  reads = 0;
});

const read = async (): Promise<string | undefined> => {
  reads += 1;
  return readFile(path, "utf8").catch(() => undefined);
};

describe("what a file says", () => {
  it("is read once for as long as it is the same file", async () => {
    const kept = new KeptReads<string>(2);
    await writeFile(path, "one");
    expect([await kept.get(path, read), await kept.get(path, read)]).toEqual(["one", "one"]);
    expect(reads).toBe(1);
  });

  it("is read again when another file took its place, or it was written to", async () => {
    const kept = new KeptReads<string>(2);
    await writeFile(path, "one");
    await kept.get(path, read);
    await writeFile(`${path}.new`, "two");
    await rename(`${path}.new`, path);
    expect(await kept.get(path, read)).toBe("two");
    await writeFile(path, "three");
    expect(await kept.get(path, read)).toBe("three");
    await rm(path);
    expect(await kept.get(path, read)).toBeUndefined();
  });

  it("is not kept when it gives nothing, or the file is replaced while it is read", async () => {
    const kept = new KeptReads<string>(2);
    expect(await kept.get(path, read)).toBeUndefined();
    await writeFile(path, "one");
    await kept.get(path, async () => {
      const old = await read();
      await writeFile(path, "newer");
      return old;
    });
    expect(await kept.get(path, read)).toBe("newer");
  });

  it("is forgotten when too much is kept, what was read longest ago first", async () => {
    const kept = new KeptReads<string>(1);
    const other = `${path}.other`;
    await writeFile(path, "one");
    await writeFile(other, "other");
    await kept.get(path, read);
    await kept.get(other, async () => "other");
    await kept.get(path, read);
    expect(reads).toBe(2);
  });
});
