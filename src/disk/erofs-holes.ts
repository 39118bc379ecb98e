/**
 * Closing up: files that a later layer removed leave holes among the data. Data from the end of the disk
 * is moved into them, so that the disk holds what the image shows and hardly more, without being written twice.
 */
import type { FileHandle } from "node:fs/promises";
import { type FileContent, readFully, writeFully } from "./erofs-data.js";
import { EROFS_BLOCK_BYTES } from "./erofs-format.js";

const COPY_BYTES = 1024 ** 2;
/** How many candidates are looked at for one hole. */
const LOOK_BACK = 64;

export interface Hole {
  readonly block: number;
  readonly blockCount: number;
}

export interface ClosingPlan {
  readonly moves: readonly { readonly content: FileContent; readonly to: number }[];
  /** Holes that nothing fitted into, below `endBlock`. */
  readonly left: readonly Hole[];
  /** The first block behind all data. */
  readonly endBlock: number;
}

/**
 * `contents` in the order of their blocks, the first at `firstBlock`, each next one behind the one before;
 * those that are not in `live` are holes. The same input gives the same plan.
 */
export function planClosing(
  contents: readonly FileContent[],
  live: ReadonlySet<FileContent>,
  firstBlock: number,
): ClosingPlan {
  const kept = contents.filter((content) => live.has(content));
  const moves: { content: FileContent; to: number }[] = [];
  const left: Hole[] = [];
  // What may still be moved, the last on the disk at the end.
  const movable = [...kept];
  for (const hole of holesOf(kept, firstBlock)) {
    let { block, blockCount } = hole;
    while (blockCount > 0) {
      const index = lastFitting(movable, block, blockCount);
      if (index === undefined) break;
      const [content] = movable.splice(index, 1);
      moves.push({ content: content!, to: block });
      block += content!.blockCount;
      blockCount -= content!.blockCount;
    }
    if (blockCount > 0) left.push({ block, blockCount });
  }
  const moved = new Map(moves.map(({ content, to }) => [content, to]));
  const endBlock = kept.reduce(
    (end, content) => Math.max(end, (moved.get(content) ?? content.block) + content.blockCount),
    firstBlock,
  );
  return { moves, left: left.filter((hole) => hole.block < endBlock), endBlock };
}

/** Does what was planned, on the disk and in the contents; holes that are left become zeros. */
export async function closeUp(disk: FileHandle, plan: ClosingPlan): Promise<void> {
  for (const { content, to } of plan.moves) {
    await copyBlocks(disk, content.block, to, content.blockCount);
    content.block = to;
  }
  for (const { block, blockCount } of plan.left) await clear(disk, block, blockCount);
  await disk.truncate(plan.endBlock * EROFS_BLOCK_BYTES);
}

function holesOf(kept: readonly FileContent[], firstBlock: number): Hole[] {
  const holes: Hole[] = [];
  let end = firstBlock;
  for (const content of kept) {
    if (content.block > end) holes.push({ block: end, blockCount: content.block - end });
    end = content.block + content.blockCount;
  }
  return holes;
}

function lastFitting(
  movable: readonly FileContent[],
  block: number,
  blockCount: number,
): number | undefined {
  const end = Math.max(0, movable.length - LOOK_BACK);
  for (let index = movable.length - 1; index >= end; index -= 1) {
    const candidate = movable[index]!;
    if (candidate.block < block) return undefined;
    if (candidate.blockCount <= blockCount) return index;
  }
  return undefined;
}

async function copyBlocks(
  disk: FileHandle,
  from: number,
  to: number,
  blockCount: number,
): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(COPY_BYTES, blockCount * EROFS_BLOCK_BYTES));
  const sizeBytes = blockCount * EROFS_BLOCK_BYTES;
  for (let done = 0; done < sizeBytes; done += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, sizeBytes - done));
    await readFully(disk, part, from * EROFS_BLOCK_BYTES + done);
    await writeFully(disk, part, to * EROFS_BLOCK_BYTES + done);
  }
}

async function clear(disk: FileHandle, block: number, blockCount: number): Promise<void> {
  const zeros = Buffer.alloc(Math.min(COPY_BYTES, blockCount * EROFS_BLOCK_BYTES));
  const sizeBytes = blockCount * EROFS_BLOCK_BYTES;
  for (let done = 0; done < sizeBytes; done += zeros.length) {
    const part = zeros.subarray(0, Math.min(zeros.length, sizeBytes - done));
    await writeFully(disk, part, block * EROFS_BLOCK_BYTES + done);
  }
}
