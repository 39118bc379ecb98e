/** The boot disk: a small EROFS disk that holds the agent and the folders it mounts on. */
import { createHash } from "node:crypto";
import { mkdir, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { MsbError } from "../errors.js";
import type { MsbPaths } from "../paths.js";
import { SingleFlight } from "../util/async.js";
import { replaceFile } from "../util/atomic-file.js";
import { spaceError } from "./disk-error.js";
import {
  encodeDirectory,
  encodeFirstBlock,
  encodeInode,
  EROFS_BLOCK_BYTES,
  EROFS_SLOT_BYTES,
  EROFS_SUPER_BYTES,
  EROFS_SUPER_OFFSET,
  ErofsFileType,
  type ErofsInode,
  ErofsLayout,
  uuidFromDigest,
} from "./erofs-format.js";

/** Changes whenever the layout below does, so that old disks in the cache are not taken for new ones. */
const LAYOUT_VERSION = 2;
/** The agent is at most 1.5 MB by design; far above that the path names something else. */
const MAX_AGENT_BYTES = 16 * 1024 ** 2;
const AGENT_NAME = "msb-agent";
const MOUNT_POINTS = ["dev", "mnt", "proc", "sys"];

const flights = new SingleFlight<string>();
const digests = new Map<string, string>();

/**
 * The path of the boot disk for the agent at `agentPath`, made if the cache does not have it.
 * Throws MSB_ERR_DISK_NOT_FOUND when there is no agent, MSB_ERR_NO_SPACE.
 */
export async function ensureBootDisk(agentPath: string, paths: MsbPaths): Promise<string> {
  return flights.run(`${agentPath}\n${paths.home}`, () => findOrMake(agentPath, paths));
}

async function findOrMake(agentPath: string, paths: MsbPaths): Promise<string> {
  const info = await stat(agentPath).catch((error: unknown) => {
    throw agentError(agentPath, "it cannot be read", error);
  });
  if (!info.isFile() || info.size === 0 || info.size > MAX_AGENT_BYTES) {
    throw agentError(agentPath, `it is not a file of 1 to ${MAX_AGENT_BYTES} bytes`);
  }
  const key = [agentPath, info.size, info.mtimeMs, info.ino].join("\n");
  let agent: Buffer | undefined;
  let digest = digests.get(key);
  if (digest === undefined) {
    agent = await readFile(agentPath);
    digest = digestOf(agent).toString("hex");
    digests.set(key, digest);
  }
  const path = paths.bootDisk(digest);
  const disk = await stat(path).catch(() => undefined);
  if (disk?.isFile() && disk.size > 0) return path;
  const image = encodeBootDisk(agent ?? (await readFile(agentPath)));
  try {
    await mkdir(dirname(path), { recursive: true });
    await replaceFile(path, (file) => file.writeFile(image), { mode: 0o444 });
  } catch (error) {
    throw spaceError(error, path, image.length);
  }
  return path;
}

/** The whole disk; the same bytes for the same agent. */
export function encodeBootDisk(agent: Uint8Array): Buffer {
  const dataBlocks = Math.ceil(agent.length / EROFS_BLOCK_BYTES);
  const slots = new SlotAllocator();
  const rootNid = slots.allocate(inlineDirectoryBytes(["", AGENT_NAME, ...MOUNT_POINTS]));
  const agentNid = slots.allocate(0);
  const folderNids = MOUNT_POINTS.map(() => slots.allocate(inlineDirectoryBytes([""])));

  const name = (text: string): Uint8Array => Buffer.from(text);
  const directory = ErofsFileType.directory;
  const put = (nid: number, inode: ErofsInode, inline?: Uint8Array): void =>
    slots.put(nid, encodeInode(inode), inline);
  const putFolder = (nid: number, ino: number, nlink: number, entries: Buffer): void =>
    put(
      nid,
      {
        layout: ErofsLayout.flatInline,
        mode: 0o040755,
        nlink,
        sizeBytes: entries.length,
        // There are no whole blocks in front of the inline part.
        blockOrDevice: 0xffffffff,
        ino,
        uid: 0,
        gid: 0,
      },
      entries,
    );
  const self = (nid: number, parent: number) => [
    { name: name("."), nid: BigInt(nid), fileType: directory },
    { name: name(".."), nid: BigInt(parent), fileType: directory },
  ];
  putFolder(
    rootNid,
    1,
    2 + MOUNT_POINTS.length,
    encodeDirectory([
      ...self(rootNid, rootNid),
      { name: name(AGENT_NAME), nid: BigInt(agentNid), fileType: ErofsFileType.file },
      ...MOUNT_POINTS.map((folder, index) => ({
        name: name(folder),
        nid: BigInt(folderNids[index]!),
        fileType: directory,
      })),
    ]),
  );
  put(agentNid, {
    layout: ErofsLayout.flatPlain,
    mode: 0o100755,
    nlink: 1,
    sizeBytes: agent.length,
    blockOrDevice: 1,
    ino: 2,
    uid: 0,
    gid: 0,
  });
  for (const [index, nid] of folderNids.entries()) {
    putFolder(nid, 3 + index, 2, encodeDirectory(self(nid, rootNid)));
  }
  const first = encodeFirstBlock(
    {
      rootNid,
      inodeCount: 2 + MOUNT_POINTS.length,
      blockCount: 1 + dataBlocks,
      metaBlock: 0,
      buildTime: 0,
      uuid: uuidFromDigest(digestOf(agent)),
    },
    slots.bytes(),
  );
  const disk = Buffer.alloc((1 + dataBlocks) * EROFS_BLOCK_BYTES);
  disk.set(first, EROFS_SUPER_OFFSET);
  disk.set(agent, EROFS_BLOCK_BYTES);
  return disk;
}

/** Hands out inode slots in the first block, behind the superblock. */
class SlotAllocator {
  readonly #base = EROFS_SUPER_OFFSET + EROFS_SUPER_BYTES;
  readonly #area = Buffer.alloc(EROFS_BLOCK_BYTES - this.#base);
  #next = 0;

  /** The nid of a compact inode with `inlineBytes` behind it. */
  allocate(inlineBytes: number): number {
    const at = this.#next;
    this.#next += roundUp(32 + inlineBytes, EROFS_SLOT_BYTES);
    return (this.#base + at) / EROFS_SLOT_BYTES;
  }

  put(nid: number, inode: Uint8Array, inline: Uint8Array = new Uint8Array()): void {
    const at = nid * EROFS_SLOT_BYTES - this.#base;
    this.#area.set(inode, at);
    this.#area.set(inline, at + inode.length);
  }

  bytes(): Buffer {
    return this.#area.subarray(0, this.#next);
  }
}

/** "" stands for the pair "." and "..". */
function inlineDirectoryBytes(names: readonly string[]): number {
  return names.reduce((sum, name) => sum + (name === "" ? 2 * 12 + 3 : 12 + name.length), 0);
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

function digestOf(agent: Uint8Array): Buffer {
  return createHash("sha256").update(`boot-disk ${LAYOUT_VERSION}\n`).update(agent).digest();
}

function agentError(path: string, why: string, cause?: unknown): MsbError {
  return new MsbError(
    "MSB_ERR_DISK_NOT_FOUND",
    `There is no boot disk without the guest agent, and ${path} is not one: ${why}. ` +
      "Build it with `npm rebuild msb-ts` or, in a checkout, `npm run build:native`.",
    { cause, details: { path } },
  );
}
