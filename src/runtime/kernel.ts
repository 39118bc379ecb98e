/** The guest kernel as a file that both drivers boot: taken out of libkrunfw once, then cached. */
import { type FileHandle, mkdir, open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { isMsbError, messageOf, MsbError } from "../errors.js";
import { replaceFile, writeFileAtomic } from "../util/atomic-file.js";
import { KERNEL_ENTRY_POINTS } from "./components.js";
import { BundleError, findKernelBundle, type KernelBundle } from "./kernel-bundle.js";
import { sha512Of } from "./verified-file.js";

export interface GuestKernel {
  readonly path: string;
  /** `elf`: x86-64, with the PVH note. `raw`: an arm64 Image; not run so far. */
  readonly format: "elf" | "raw";
  /** The kernel's own, such as `6.12.99`. */
  readonly version: string;
  /** The sha512 of the library it came from. */
  readonly id: string;
}

/**
 * What `kernel.json` keeps, so that later boots cost two stats. It names the kernel relative to its own folder:
 * MSB_HOME may be moved.
 */
interface KernelRecord {
  readonly library: { readonly sizeBytes: number; readonly mtimeMs: number };
  readonly sizeBytes: number;
  readonly format: GuestKernel["format"];
  readonly version: string;
  readonly id: string;
}

const kernelPath = (folder: string, format: GuestKernel["format"]): string =>
  join(folder, `kernel.${format}`);

const CHUNK_BYTES = 1024 * 1024;
/** Chunks are searched with this much of the one before, so that nothing hides on a border. */
const OVERLAP_BYTES = 256;
/** Where the image begins in kernel.elf. */
const DATA_OFFSET = 0x1000;
/** Room for the kernel's bss behind the image. */
const BSS_BYTES = 16 * 1024 ** 2;
const PVH_NOTE_TYPE = 18;
const ARM64_IMAGE_MAGIC = 0x644d5241;

/**
 * The kernel of the libkrunfw at `libraryPath`, kept in `folder`. Throws MSB_ERR_KERNEL_INVALID when the
 * file is something else.
 */
export async function ensureKernel(libraryPath: string, folder: string): Promise<GuestKernel> {
  const recordPath = join(folder, "kernel.json");
  const library = await stat(libraryPath).catch((error: unknown) => {
    throw invalid(libraryPath, `it cannot be read (${messageOf(error)})`, error);
  });
  const stamp = { sizeBytes: library.size, mtimeMs: library.mtimeMs };
  const kept = await readRecord(folder, recordPath, stamp);
  if (kept !== undefined) return kept;
  try {
    await mkdir(folder, { recursive: true });
    const id = await sha512Of(libraryPath);
    const kernel = await extract(libraryPath, folder, id);
    const { size } = await stat(kernel.path);
    const { format, version } = kernel;
    const record: KernelRecord = { library: stamp, sizeBytes: size, format, version, id };
    await writeFileAtomic(recordPath, `${JSON.stringify(record, null, 2)}\n`);
    return kernel;
  } catch (error) {
    if (error instanceof BundleError) throw invalid(libraryPath, error.message, error);
    if (isMsbError(error)) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOSPC" || code === "EDQUOT") {
      throw new MsbError(
        "MSB_ERR_NO_SPACE",
        `There is no space for the guest kernel in ${folder}: free some, or set MSB_HOME to a folder with more.`,
        { cause: error, details: { path: folder } },
      );
    }
    throw invalid(libraryPath, messageOf(error), error);
  }
}

async function readRecord(
  folder: string,
  recordPath: string,
  library: KernelRecord["library"],
): Promise<GuestKernel | undefined> {
  try {
    const record = JSON.parse(await readFile(recordPath, "utf8")) as KernelRecord;
    const { format, version, id } = record;
    const path = kernelPath(folder, format);
    const isSame =
      record.library.sizeBytes === library.sizeBytes &&
      record.library.mtimeMs === library.mtimeMs &&
      (await stat(path)).size === record.sizeBytes;
    return isSame ? { path, format, version, id } : undefined;
  } catch {
    return undefined;
  }
}

async function extract(libraryPath: string, folder: string, id: string): Promise<GuestKernel> {
  const library = await open(libraryPath, "r");
  try {
    const bundle = await findKernelBundle(library);
    const format = bundle.machine === "x86_64" ? "elf" : "raw";
    const path = kernelPath(folder, format);
    const version = await replaceFile(path, (file) =>
      format === "elf" ? writeElf(library, bundle, file, id) : writeRaw(library, bundle, file),
    );
    return { path, format, version, id };
  } finally {
    await library.close();
  }
}

/**
 * One ELF file for both loaders: QEMU enters at the PVH note's 32-bit address, libkrun at e_entry, the 64-bit
 * one. The note is a copy of the kernel's own. The 64-bit entry is nowhere in the image: it is pinned for the
 * libraries we know and read from krunfw_get_kernel's code for others.
 */
async function writeElf(
  library: FileHandle,
  bundle: KernelBundle,
  file: FileHandle,
  id: string,
): Promise<string> {
  const addresses = KERNEL_ENTRY_POINTS[id] ?? bundle.constants;
  if (addresses === null) {
    throw new BundleError("the kernel's entry point cannot be read from krunfw_get_kernel");
  }
  const found = await copyKernel(library, bundle, file, DATA_OFFSET);
  if (found.pvhEntry === undefined) throw new BundleError("its kernel has no PVH entry note");
  const header = encodeElfHeader({
    ...addresses,
    pvhEntry: found.pvhEntry,
    sizeBytes: bundle.sizeBytes,
  });
  await file.write(header, 0, header.length, 0);
  return versionOf(found);
}

/** An arm64 Image needs no wrapper: its own header says how it wants to be loaded. */
async function writeRaw(
  library: FileHandle,
  bundle: KernelBundle,
  file: FileHandle,
): Promise<string> {
  const found = await copyKernel(library, bundle, file, 0);
  if (found.head.readUInt32LE(56) !== ARM64_IMAGE_MAGIC) {
    throw new BundleError("its kernel is not an arm64 Image");
  }
  return versionOf(found);
}

interface KernelFacts {
  /** The first 64 bytes. */
  head: Buffer;
  version: string | undefined;
  pvhEntry: bigint | undefined;
}

function versionOf(found: KernelFacts): string {
  if (found.version === undefined) throw new BundleError("what it holds is not a Linux kernel");
  return found.version;
}

/** Copies the image in chunks and looks for facts on the way. */
async function copyKernel(
  library: FileHandle,
  bundle: KernelBundle,
  file: FileHandle,
  fileOffset: number,
): Promise<KernelFacts> {
  const facts: KernelFacts = { head: Buffer.alloc(64), version: undefined, pvhEntry: undefined };
  const buffer = Buffer.alloc(OVERLAP_BYTES + CHUNK_BYTES);
  for (let at = 0; at < bundle.sizeBytes;) {
    const wanted = Math.min(CHUNK_BYTES, bundle.sizeBytes - at);
    const { bytesRead } = await library.read(buffer, OVERLAP_BYTES, wanted, bundle.offset + at);
    if (bytesRead === 0) throw new BundleError("it was cut off while it was read");
    const end = OVERLAP_BYTES + bytesRead;
    await file.write(buffer, OVERLAP_BYTES, bytesRead, fileOffset + at);
    if (at === 0) buffer.copy(facts.head, 0, OVERLAP_BYTES);
    facts.version ??= findVersion(buffer.subarray(0, end));
    facts.pvhEntry ??= findPvhEntry(buffer.subarray(0, end));
    buffer.copy(buffer, 0, end - OVERLAP_BYTES, end);
    at += bytesRead;
  }
  return facts;
}

function findVersion(bytes: Buffer): string | undefined {
  const at = bytes.indexOf("Linux version ");
  if (at < 0) return undefined;
  return /^Linux version (\d+\.\d+[\w.+-]*) /.exec(bytes.toString("latin1", at, at + 100))?.[1];
}

/** The ELF note (name "Xen", type 18, PHYS32_ENTRY) that says where a PVH loader jumps to. */
function findPvhEntry(bytes: Buffer): bigint | undefined {
  for (let at = bytes.indexOf("Xen\0", 12); at >= 12; at = bytes.indexOf("Xen\0", at + 1)) {
    const descBytes = bytes.readUInt32LE(at - 8);
    const isPvh =
      bytes.readUInt32LE(at - 12) === 4 &&
      bytes.readUInt32LE(at - 4) === PVH_NOTE_TYPE &&
      (descBytes === 4 || descBytes === 8);
    if (!isPvh || at + 4 + descBytes > bytes.length) continue;
    return descBytes === 4 ? BigInt(bytes.readUInt32LE(at + 4)) : bytes.readBigUInt64LE(at + 4);
  }
  return undefined;
}

/** ELF header, one PT_LOAD, one PT_NOTE, and the note. */
function encodeElfHeader(kernel: {
  load: number;
  entry64: number;
  pvhEntry: bigint;
  sizeBytes: number;
}): Buffer {
  const header = Buffer.alloc(DATA_OFFSET);
  const [programHeaders, programHeaderBytes, noteOffset, noteBytes] = [64, 56, 64 + 2 * 56, 24];
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(2, 16); // ET_EXEC
  header.writeUInt16LE(62, 18); // EM_X86_64
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(kernel.entry64), 24);
  header.writeBigUInt64LE(BigInt(programHeaders), 32);
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(programHeaderBytes, 54);
  header.writeUInt16LE(2, 56);
  const segment = (index: number, type: number, flags: number, fields: readonly number[]): void => {
    const at = programHeaders + index * programHeaderBytes;
    header.writeUInt32LE(type, at);
    header.writeUInt32LE(flags, at + 4);
    for (const [place, value] of fields.entries()) {
      header.writeBigUInt64LE(BigInt(value), at + 8 + 8 * place);
    }
  };
  const { load, sizeBytes } = kernel;
  // offset, virtual and physical address, bytes in the file and in memory, alignment
  segment(0, 1, 7, [DATA_OFFSET, load, load, sizeBytes, sizeBytes + BSS_BYTES, 0x1000]);
  segment(1, 4, 4, [noteOffset, 0, 0, noteBytes, noteBytes, 4]);
  header.writeUInt32LE(4, noteOffset);
  header.writeUInt32LE(8, noteOffset + 4);
  header.writeUInt32LE(PVH_NOTE_TYPE, noteOffset + 8);
  header.write("Xen\0", noteOffset + 12, "latin1");
  header.writeBigUInt64LE(kernel.pvhEntry, noteOffset + 16);
  return header;
}

function invalid(path: string, why: string, cause: unknown): MsbError {
  return new MsbError(
    "MSB_ERR_KERNEL_INVALID",
    `Wrong libkrunfw: no guest kernel can be taken out of ${path}: ${why}. ` +
      "Unset MSB_LIBKRUNFW_PATH to use the pinned one, or let it name a libkrunfw.so.5.",
    { cause, details: { path } },
  );
}
