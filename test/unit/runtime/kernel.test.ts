import { readFile, readdir, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isMsbError } from "../../../src/errors.js";
import { ensureKernel } from "../../../src/runtime/kernel.js";
import {
  fakeElfLibrary,
  fakeKernel,
  fakeMachOLibrary,
  getKernelCode,
} from "../../helpers/fake-libkrunfw.js";
import { tempDir } from "../../helpers/temp-dir.js";

const MIB = 1024 * 1024;

async function place(bytes: Buffer): Promise<{ library: string; folder: string }> {
  const dir = await tempDir();
  const library = join(dir, "libkrunfw.so.5");
  await writeFile(library, bytes);
  return { library, folder: join(dir, "out") };
}

describe("a kernel taken out of libkrunfw", () => {
  test("keeps the image, the PVH note and the 64-bit entry", async () => {
    const image = fakeKernel(4, { version: 100, note: 5000, pvhEntry: 0x1000040 });
    const { library, folder } = await place(fakeElfLibrary({ kernel: image }));
    const kernel = await ensureKernel(library, folder);
    expect(kernel).toMatchObject({ format: "elf", version: "6.12.99" });
    const elf = await readFile(kernel.path);
    expect(elf.subarray(0x1000)).toEqual(image);
    expect(elf.readBigUInt64LE(24)).toBe(0x1000123n);
    expect(elf.readBigUInt64LE(64 + 24)).toBe(0x1000000n);
    expect(elf.readBigUInt64LE(64 + 32)).toBe(BigInt(image.length));
    expect(elf.readBigUInt64LE(64 + 2 * 56 + 16)).toBe(0x1000040n);
  });

  test("has its facts found across the borders of the chunks it is read in", async () => {
    const image = fakeKernel(2 * 257, { version: MIB - 5, note: 2 * MIB - 14 });
    const { library, folder } = await place(fakeElfLibrary({ kernel: image }));
    const kernel = await ensureKernel(library, folder);
    expect(kernel.version).toBe("6.12.99");
    expect((await readFile(kernel.path)).subarray(0x1000).equals(image)).toBe(true);
  });

  test("is not made again while the library is unchanged, and is when it changed", async () => {
    const first = fakeElfLibrary({ kernel: fakeKernel(2, { version: 0, note: 4096 }) });
    const { library, folder } = await place(first);
    const made = await ensureKernel(library, folder);
    const before = await stat(made.path);
    expect(await ensureKernel(library, folder)).toEqual(made);
    expect((await stat(made.path)).ino).toBe(before.ino);
    await writeFile(library, fakeElfLibrary({ kernel: fakeKernel(3, { version: 0, note: 4096 }) }));
    await utimes(library, 1, 1);
    const again = await ensureKernel(library, folder);
    expect(again.id).not.toBe(made.id);
    expect((await stat(again.path)).size).toBe(0x1000 + 3 * 4096);
  });

  test("is a raw image when it is for arm64, from ELF and from Mach-O", async () => {
    const image = fakeKernel(3, { version: 200 });
    image.write("ARMd", 56, "latin1");
    for (const bytes of [
      fakeElfLibrary({ kernel: image, machine: 183 }),
      fakeMachOLibrary(image),
    ]) {
      const { library, folder } = await place(bytes);
      const kernel = await ensureKernel(library, folder);
      expect(kernel).toMatchObject({ format: "raw", version: "6.12.99" });
      expect((await readFile(kernel.path)).equals(image)).toBe(true);
    }
  });
});

describe("a wrong libkrunfw", () => {
  const kernel = fakeKernel(2, { version: 0, note: 4096 });
  const cases: readonly [string, Buffer, RegExp][] = [
    ["an empty file", Buffer.alloc(0), /its header should be 64 bytes/],
    ["a text", Buffer.alloc(200, "x"), /neither an ELF nor a Mach-O/],
    ["a library without a kernel", fakeElfLibrary({ kernel, symbolName: "KERNEL" }), /no symbol/],
    [
      "a bundle that is no Linux",
      fakeElfLibrary({ kernel: fakeKernel(2, { note: 0 }) }),
      /not a Linux kernel/,
    ],
    [
      "a kernel without PVH",
      fakeElfLibrary({ kernel: fakeKernel(2, { version: 0 }) }),
      /no PVH entry/,
    ],
    ["another processor", fakeElfLibrary({ kernel, machine: 8 }), /another processor/],
    [
      "a symbol larger than the file",
      fakeElfLibrary({ kernel, symbolBytes: 1 << 30 }),
      /no symbol/,
    ],
    [
      "an entry outside the kernel",
      fakeElfLibrary({ kernel, code: getKernelCode([0x1000000, 1, 8192]) }),
      /entry point/,
    ],
    ["a cut-off file", fakeElfLibrary({ kernel }).subarray(0, 9000), /ELF tables/],
  ];
  test.each(cases)("%s is refused with the reason and nothing is left", async (_, bytes, why) => {
    const { library, folder } = await place(bytes);
    const error = await ensureKernel(library, folder).catch((thrown: unknown) => thrown);
    expect(isMsbError(error, "MSB_ERR_KERNEL_INVALID")).toBe(true);
    expect((error as Error).message).toContain(library);
    expect((error as Error).message).toContain("MSB_LIBKRUNFW_PATH");
    expect((error as Error).message).toMatch(why);
    expect(await readdir(folder).catch(() => [])).toEqual([]);
  });

  test("with any bytes changed gives a kernel or the one error", async () => {
    const { library, folder } = await place(Buffer.alloc(0));
    const good = fakeElfLibrary({ kernel });
    // The headers and tables; the kernel's own bytes decide nothing.
    const place_ = fc.oneof(fc.nat(600), fc.integer({ min: 12_288, max: good.length - 1 }));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(place_, fc.nat(255)), { maxLength: 8 }), async (edits) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of edits) bytes[at] = value;
        await writeFile(library, bytes);
        const ended = await ensureKernel(library, folder).catch((error: unknown) => error);
        const isKernel = (ended as { format?: string }).format !== undefined;
        expect(isKernel || isMsbError(ended, "MSB_ERR_KERNEL_INVALID")).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  test("that is not there is named", async () => {
    await expect(ensureKernel("/nowhere/libkrunfw.so.5", "/nowhere/out")).rejects.toThrow(
      /\/nowhere\/libkrunfw.so.5.*cannot be read/,
    );
  });
});
