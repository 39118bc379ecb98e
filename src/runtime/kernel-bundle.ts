/**
 * Finds the guest kernel inside libkrunfw without loading it: the library is a wrapper around one array,
 * KERNEL_BUNDLE, read here from its ELF (Linux) or Mach-O (macOS) symbol table. Every number read from the file
 * is checked against the file's size before it is used.
 */
import type { FileHandle } from "node:fs/promises";

/** Where the kernel is in the library's file. */
export interface KernelBundle {
  readonly offset: number;
  readonly sizeBytes: number;
  readonly machine: "x86_64" | "aarch64";
  /** What the code of krunfw_get_kernel returns, if it could be read; x86-64 only. */
  readonly constants: { readonly load: number; readonly entry64: number } | null;
}

/** The file is not a libkrunfw; the message says what was found. */
export class BundleError extends Error {}

const MAX_TABLE_BYTES = 4 * 1024 ** 2;
const MAX_BUNDLE_BYTES = 256 * 1024 ** 2;
const PAGE_BYTES = 4096;
const SYMBOL = "KERNEL_BUNDLE";
const FUNCTION = "krunfw_get_kernel";

const ELF_MAGIC = 0x464c457f;
const ELF_MACHINES: Readonly<Record<number, KernelBundle["machine"]>> = {
  62: "x86_64",
  183: "aarch64",
};
const ELF_SECTION_DYNSYM = 11;
const ELF_SEGMENT_LOAD = 1;
const MACHO_MAGIC = 0xfeedfacf;
const MACHO_CPU_ARM64 = 0x0100000c;
const MACHO_SEGMENT = 0x19;
const MACHO_SYMTAB = 0x2;

export async function findKernelBundle(file: FileHandle): Promise<KernelBundle> {
  const { size } = await file.stat();
  const reader = new Reader(file, size);
  const head = await reader.read(0, 64, "its header");
  const magic = head.readUInt32LE(0);
  if (magic === ELF_MAGIC) return findInElf(reader, head);
  if (magic === MACHO_MAGIC) return findInMachO(reader, head);
  throw new BundleError("it is neither an ELF nor a Mach-O library");
}

async function findInElf(reader: Reader, head: Buffer): Promise<KernelBundle> {
  if (head[4] !== 2 || head[5] !== 1) {
    throw new BundleError("it is not a 64-bit little-endian library");
  }
  const machine = ELF_MACHINES[head.readUInt16LE(18)];
  if (machine === undefined) {
    throw new BundleError(`it is for another processor (ELF machine ${head.readUInt16LE(18)})`);
  }
  const segments = await reader.table(head, { at: 32, entry: 54, count: 56, entryBytes: 56 });
  const sections = await reader.table(head, { at: 40, entry: 58, count: 60, entryBytes: 64 });
  const dynsym = sections.find((section) => section.readUInt32LE(4) === ELF_SECTION_DYNSYM);
  const dynstr = dynsym && sections[dynsym.readUInt32LE(40)];
  if (dynsym === undefined || dynstr === undefined) {
    throw new BundleError("it has no table of dynamic symbols");
  }
  const symbols = await reader.read(num(dynsym, 24), num(dynsym, 32), "its symbols");
  const names = await reader.read(num(dynstr, 24), num(dynstr, 32), "its symbol names");
  const symbol = (name: string): { offset: number; sizeBytes: number } | undefined => {
    for (let at = 0; at + 24 <= symbols.length; at += 24) {
      if (nameAt(names, symbols.readUInt32LE(at)) !== name) continue;
      const address = num(symbols, at + 8);
      const sizeBytes = num(symbols, at + 16);
      for (const segment of segments) {
        if (segment.readUInt32LE(0) !== ELF_SEGMENT_LOAD) continue;
        const into = address - num(segment, 16);
        if (into < 0 || into + sizeBytes > num(segment, 32)) continue;
        return { offset: num(segment, 8) + into, sizeBytes };
      }
    }
    return undefined;
  };
  const bundle = symbol(SYMBOL);
  if (bundle === undefined) throw new BundleError(`it has no symbol ${SYMBOL}`);
  // The array is a C string literal: whole pages, then its terminating NUL.
  const sizeBytes = bundle.sizeBytes - (bundle.sizeBytes % PAGE_BYTES);
  reader.check(bundle.offset, sizeBytes, MAX_BUNDLE_BYTES, "its kernel");
  const code = machine === "x86_64" ? symbol(FUNCTION) : undefined;
  const constants =
    code === undefined
      ? null
      : constantsOf(await reader.read(code.offset, code.sizeBytes, FUNCTION), sizeBytes);
  return { offset: bundle.offset, sizeBytes, machine, constants };
}

/**
 * krunfw_get_kernel stores three constants through pointers: load address, 64-bit entry, size. The usual
 * compiler output is three `movq $imm32, (reg)`. Taken only if there are exactly three that fit the kernel.
 */
function constantsOf(code: Buffer, sizeBytes: number): KernelBundle["constants"] {
  const values: number[] = [];
  for (let at = 0; at + 7 <= code.length; at += 1) {
    // REX.W C7 /0 with a plain register operand (not SIB, not RIP-relative)
    const operand = code[at + 2]!;
    if (code[at] !== 0x48 || code[at + 1] !== 0xc7 || operand > 7) continue;
    if (operand === 4 || operand === 5) continue;
    values.push(code.readUInt32LE(at + 3));
    at += 6;
  }
  const [load, entry64, size] = values;
  if (values.length !== 3 || size !== sizeBytes) return null;
  if (load! % PAGE_BYTES !== 0 || entry64! < load! || entry64! >= load! + size) return null;
  return { load: load!, entry64: entry64! };
}

async function findInMachO(reader: Reader, head: Buffer): Promise<KernelBundle> {
  if (head.readUInt32LE(4) !== MACHO_CPU_ARM64) {
    throw new BundleError("it is a Mach-O library for another processor than arm64");
  }
  const commands = await reader.read(32, head.readUInt32LE(20), "its load commands");
  const segments: { address: number; offset: number; sizeBytes: number }[] = [];
  let address: number | undefined;
  let at = 0;
  for (let index = head.readUInt32LE(16); index > 0 && at + 8 <= commands.length; index -= 1) {
    const sizeBytes = commands.readUInt32LE(at + 4);
    if (sizeBytes < 8 || at + sizeBytes > commands.length) break;
    const command = commands.readUInt32LE(at);
    if (command === MACHO_SEGMENT && sizeBytes >= 72) {
      segments.push({
        address: num(commands, at + 24),
        offset: num(commands, at + 40),
        sizeBytes: num(commands, at + 48),
      });
    } else if (command === MACHO_SYMTAB && sizeBytes >= 24) {
      address = await machOSymbol(reader, commands.subarray(at, at + 24));
    }
    at += sizeBytes;
  }
  if (address === undefined) throw new BundleError(`it has no symbol ${SYMBOL}`);
  const found = segments.find((s) => address >= s.address && address < s.address + s.sizeBytes);
  if (found === undefined) throw new BundleError(`its symbol ${SYMBOL} points nowhere`);
  // Mach-O symbols have no size; the array is the last thing in its segment.
  const into = address - found.address;
  const sizeBytes = found.sizeBytes - into - ((found.sizeBytes - into) % PAGE_BYTES);
  reader.check(found.offset + into, sizeBytes, MAX_BUNDLE_BYTES, "its kernel");
  return { offset: found.offset + into, sizeBytes, machine: "aarch64", constants: null };
}

async function machOSymbol(reader: Reader, command: Buffer): Promise<number | undefined> {
  const [offset, count, nameOffset, nameBytes] = [8, 12, 16, 20].map((at) =>
    command.readUInt32LE(at),
  ) as [number, number, number, number];
  const symbols = await reader.read(offset, count * 16, "its symbols");
  const names = await reader.read(nameOffset, nameBytes, "its symbol names");
  for (let at = 0; at < symbols.length; at += 16) {
    if (nameAt(names, symbols.readUInt32LE(at)) === `_${SYMBOL}`) return num(symbols, at + 8);
  }
  return undefined;
}

/** A 64-bit number; anything beyond 2^53 fails the range checks that follow. */
function num(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}

function nameAt(names: Buffer, at: number): string {
  const end = names.indexOf(0, at);
  return at < names.length && end >= at ? names.toString("latin1", at, end) : "";
}

/** Reads parts of a file of known size, capped. */
class Reader {
  readonly #file: FileHandle;
  readonly #fileBytes: number;

  constructor(file: FileHandle, fileBytes: number) {
    this.#file = file;
    this.#fileBytes = fileBytes;
  }

  check(offset: number, sizeBytes: number, maxBytes: number, what: string): void {
    const isInside = offset >= 0 && sizeBytes > 0 && offset + sizeBytes <= this.#fileBytes;
    if (!isInside || sizeBytes > maxBytes) {
      throw new BundleError(
        `${what} should be ${sizeBytes} bytes at ${offset}, but the file has ${this.#fileBytes}`,
      );
    }
  }

  async read(offset: number, sizeBytes: number, what: string): Promise<Buffer> {
    this.check(offset, sizeBytes, MAX_TABLE_BYTES, what);
    const bytes = Buffer.alloc(sizeBytes);
    const { bytesRead } = await this.#file.read(bytes, 0, sizeBytes, offset);
    if (bytesRead !== sizeBytes) throw new BundleError(`${what} cannot be read`);
    return bytes;
  }

  /** An ELF table; the arguments say where the header keeps its offset, entry size and count. */
  async table(
    head: Buffer,
    where: { at: number; entry: number; count: number; entryBytes: number },
  ): Promise<Buffer[]> {
    if (head.readUInt16LE(where.entry) !== where.entryBytes) {
      throw new BundleError("its ELF tables are broken");
    }
    const count = head.readUInt16LE(where.count);
    const all = await this.read(num(head, where.at), count * where.entryBytes, "its ELF tables");
    return Array.from({ length: count }, (_, index) =>
      all.subarray(index * where.entryBytes, (index + 1) * where.entryBytes),
    );
  }
}
