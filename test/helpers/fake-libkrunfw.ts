/** Small libraries with the shape of libkrunfw: a dynamic symbol table and a KERNEL_BUNDLE. */

export interface FakeLibraryOpts {
  /** Whole pages. */
  readonly kernel: Buffer;
  readonly symbolName?: string;
  /** What the symbol claims; default the kernel and its NUL. */
  readonly symbolBytes?: number;
  /** The body of krunfw_get_kernel. */
  readonly code?: Buffer;
  readonly machine?: number;
}

const PAGE = 4096;

/** A kernel image of `pages` pages with a version banner and a PVH note, both across chunk borders if asked. */
export function fakeKernel(
  pages: number,
  at: { version?: number; note?: number; pvhEntry?: number } = {},
): Buffer {
  const kernel = Buffer.alloc(pages * PAGE, 0x90);
  if (at.version !== undefined)
    kernel.write("Linux version 6.12.99 (builder) #1\n\0", at.version, "latin1");
  if (at.note !== undefined) {
    kernel.writeUInt32LE(4, at.note);
    kernel.writeUInt32LE(8, at.note + 4);
    kernel.writeUInt32LE(18, at.note + 8);
    kernel.write("Xen\0", at.note + 12, "latin1");
    kernel.writeBigUInt64LE(BigInt(at.pvhEntry ?? 0x1000000), at.note + 16);
  }
  return kernel;
}

/** `movq $value, (%rax)` for each value, as compilers write krunfw_get_kernel. */
export function getKernelCode(values: readonly number[]): Buffer {
  const moves = values.map((value) => {
    const move = Buffer.from([0x48, 0xc7, 0x00, 0, 0, 0, 0]);
    move.writeUInt32LE(value, 3);
    return move;
  });
  return Buffer.concat([Buffer.from([0x55, 0x48, 0x89, 0xe5]), ...moves, Buffer.from([0xc3])]);
}

/** An ELF64 shared object: header, one PT_LOAD over the file, code, kernel, .dynsym, .dynstr, sections. */
export function fakeElfLibrary(opts: FakeLibraryOpts): Buffer {
  const code = opts.code ?? getKernelCode([0x1000000, 0x1000123, opts.kernel.length]);
  const names = Buffer.from(`\0${opts.symbolName ?? "KERNEL_BUNDLE"}\0krunfw_get_kernel\0`);
  const kernelAt = PAGE;
  const symbolsAt = kernelAt + opts.kernel.length + 8;
  const namesAt = symbolsAt + 3 * 24;
  const sectionsAt = namesAt + names.length;
  const file = Buffer.alloc(sectionsAt + 3 * 64);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE(3, 16);
  file.writeUInt16LE(opts.machine ?? 62, 18);
  file.writeBigUInt64LE(64n, 32);
  file.writeBigUInt64LE(BigInt(sectionsAt), 40);
  for (const [at, value] of [
    [54, 56],
    [56, 1],
    [58, 64],
    [60, 3],
  ] as const) {
    file.writeUInt16LE(value, at);
  }
  file.writeUInt32LE(1, 64);
  file.writeBigUInt64LE(BigInt(file.length), 64 + 32);
  file.set(code, 512);
  file.set(opts.kernel, kernelAt);
  const symbol = (index: number, name: number, address: number, sizeBytes: number): void => {
    const at = symbolsAt + index * 24;
    file.writeUInt32LE(name, at);
    file.writeBigUInt64LE(BigInt(address), at + 8);
    file.writeBigUInt64LE(BigInt(sizeBytes), at + 16);
  };
  symbol(1, 1, kernelAt, opts.symbolBytes ?? opts.kernel.length + 1);
  symbol(2, names.indexOf("krunfw_get_kernel"), 512, code.length);
  file.set(names, namesAt);
  const section = (index: number, type: number, link: number, at: number, sizeBytes: number) => {
    const base = sectionsAt + index * 64;
    file.writeUInt32LE(type, base + 4);
    file.writeBigUInt64LE(BigInt(at), base + 24);
    file.writeBigUInt64LE(BigInt(sizeBytes), base + 32);
    file.writeUInt32LE(link, base + 40);
  };
  section(1, 11, 2, symbolsAt, 3 * 24);
  section(2, 3, 0, namesAt, names.length);
  return file;
}

/** A Mach-O library for arm64 with its kernel at the end of one segment. */
export function fakeMachOLibrary(kernel: Buffer): Buffer {
  const names = Buffer.from("\0_KERNEL_BUNDLE\0");
  const kernelAt = PAGE;
  const symbolsAt = kernelAt + kernel.length;
  const file = Buffer.alloc(symbolsAt + 16 + names.length);
  file.writeUInt32LE(0xfeedfacf, 0);
  file.writeUInt32LE(0x0100000c, 4);
  file.writeUInt32LE(2, 16);
  file.writeUInt32LE(72 + 24, 20);
  file.writeUInt32LE(0x19, 32);
  file.writeUInt32LE(72, 36);
  for (const [at, value] of [
    [24, 0x8000],
    [32, kernel.length],
    [40, kernelAt],
    [48, kernel.length],
  ] as const) {
    file.writeBigUInt64LE(BigInt(value), 32 + at);
  }
  const symtab = 32 + 72;
  for (const [index, value] of [2, 24, symbolsAt, 1, symbolsAt + 16, names.length].entries()) {
    file.writeUInt32LE(value, symtab + index * 4);
  }
  file.writeUInt32LE(1, symbolsAt);
  file.writeBigUInt64LE(0x8000n, symbolsAt + 8);
  file.set(names, symbolsAt + 16);
  file.set(kernel, kernelAt);
  return file;
}
