/** Where every inode of a tree goes: pure arithmetic, the same for the same tree. */
import {
  directoryBytes,
  EROFS_BLOCK_BYTES,
  EROFS_SLOT_BYTES,
  EXTENDED_INODE_BYTES,
} from "./erofs-format.js";
import type { DirectoryNode, TreeNode } from "./erofs-tree.js";
import { encodeXattrs } from "./erofs-xattr.js";

const SLOTS_PER_BLOCK = EROFS_BLOCK_BYTES / EROFS_SLOT_BYTES;

/** One inode's place. */
export interface Placement {
  readonly node: TreeNode;
  /** Its address in slots, counted from the first block of the inodes. */
  readonly nid: number;
  /** A serial number from 1. */
  readonly ino: number;
  nlink: number;
  readonly sizeBytes: number;
  /** Bytes of the last block that stand behind the inode and its attributes; 0 when they stand elsewhere. */
  readonly inlineBytes: number;
  /** For directories with whole blocks: the first, counted from the first directory block. */
  readonly directoryBlock: number;
  /** For directories. */
  readonly parent: Placement | null;
}

export interface Layout {
  readonly placements: ReadonlyMap<TreeNode, Placement>;
  readonly root: Placement;
  readonly inodeBlocks: number;
  readonly directoryBlocks: number;
}

/** How much of a file's last block fits behind an inode with these attributes. */
export function tailRoom(xattrs: ReadonlyMap<string, string>): number {
  return Math.max(0, EROFS_BLOCK_BYTES - EXTENDED_INODE_BYTES - encodeXattrs(xattrs).length);
}

/** Inodes in the order of a walk, folders first met first, names by their bytes; sorts the tree's entries. */
export function layOut(root: DirectoryNode): Layout {
  const slots = new SlotAllocator();
  const placements = new Map<TreeNode, Placement>();
  let directoryBlocks = 0;

  const place = (node: TreeNode, parent: Placement | null): Placement => {
    const sizeBytes = sizeOf(node);
    const xattrBytes = encodeXattrs(node.attributes.xattrs).length;
    const inlineBytes = inlineBytesOf(node, sizeBytes);
    const hasBlocks = node.kind === "directory" && sizeBytes > inlineBytes;
    const placement: Placement = {
      node,
      nid: slots.allocate(EXTENDED_INODE_BYTES + xattrBytes + inlineBytes),
      ino: placements.size + 1,
      nlink: node.kind === "directory" ? 2 : 0,
      sizeBytes,
      inlineBytes,
      directoryBlock: hasBlocks ? directoryBlocks : 0,
      parent,
    };
    if (hasBlocks) directoryBlocks += Math.ceil((sizeBytes - inlineBytes) / EROFS_BLOCK_BYTES);
    placements.set(node, placement);
    return placement;
  };

  sortEntries(root);
  const rootPlacement = place(root, null);
  // Depth first, with the names of a folder side by side: what is looked up together lies together.
  const pending = [rootPlacement];
  for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
    const below: Placement[] = [];
    for (const child of (folder.node as DirectoryNode).entries.values()) {
      if (child.kind === "directory") {
        sortEntries(child);
        below.push(place(child, folder));
        folder.nlink += 1;
      } else {
        (placements.get(child) ?? place(child, null)).nlink += 1;
      }
    }
    pending.push(...below.toReversed());
  }
  return { placements, root: rootPlacement, inodeBlocks: slots.blockCount, directoryBlocks };
}

/** The names of a folder as they are stored, with "." and "..", sorted by their bytes. */
export function storedNames(node: DirectoryNode): string[] {
  return [".", "..", ...node.entries.keys()].toSorted(byBytes);
}

function sortEntries(node: DirectoryNode): void {
  const sorted = [...node.entries].toSorted(([a], [b]) => byBytes(a, b));
  node.entries.clear();
  for (const [name, child] of sorted) node.entries.set(name, child);
}

/** Byte strings have one character a byte. */
function byBytes(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function sizeOf(node: TreeNode): number {
  switch (node.kind) {
    case "directory":
      return directoryBytes(storedNames(node));
    case "file":
      return node.content.sizeBytes;
    case "symlink":
      return node.target.length;
    default:
      return 0;
  }
}

function inlineBytesOf(node: TreeNode, sizeBytes: number): number {
  switch (node.kind) {
    case "directory": {
      const rest = sizeBytes % EROFS_BLOCK_BYTES;
      return rest <= tailRoom(node.attributes.xattrs) ? rest : 0;
    }
    case "file":
      return node.content.tail?.length ?? 0;
    case "symlink":
      return sizeBytes;
    default:
      return 0;
  }
}

/**
 * Hands out runs of slots. A run lies within one block, because an inline tail must; one longer than a block
 * has blocks of its own. Room that a block has left is given to the smallest need that fits it.
 */
class SlotAllocator {
  /** By free slots: the blocks that have so many left at their end. */
  readonly #open: number[][] = Array.from({ length: SLOTS_PER_BLOCK }, () => []);
  blockCount = 0;

  constructor() {
    // Inode numbers are slots, and 0 means "no inode" to some programs.
    this.allocate(EROFS_SLOT_BYTES);
  }

  allocate(sizeBytes: number): number {
    const needed = Math.ceil(sizeBytes / EROFS_SLOT_BYTES);
    for (let free = needed; free < SLOTS_PER_BLOCK; free += 1) {
      const block = this.#open[free]!.pop();
      if (block !== undefined) return this.#take(block, free, needed);
    }
    const block = this.blockCount;
    this.blockCount += Math.ceil(needed / SLOTS_PER_BLOCK);
    if (needed >= SLOTS_PER_BLOCK) return block * SLOTS_PER_BLOCK;
    return this.#take(block, SLOTS_PER_BLOCK, needed);
  }

  #take(block: number, free: number, needed: number): number {
    const left = free - needed;
    if (left > 0) this.#open[left]!.push(block);
    return (block + 1) * SLOTS_PER_BLOCK - free;
  }
}
