/**
 * Layers put on top of each other, as the OCI image spec (layer.md) says: later entries replace earlier ones,
 * whiteouts remove what lower layers brought. It all happens in memory, so nothing a layer says can touch the host;
 * what would leave the image is refused all the same.
 */
import type { FileContent } from "../../disk/erofs-data.js";
import {
  type Attributes,
  type DirectoryNode,
  plainDirectory,
  type TreeNode,
} from "../../disk/erofs-tree.js";
import { isStorableXattr } from "../../disk/erofs-xattr.js";
import { unsafeEntry } from "./layer-error.js";
import type { TarEntry } from "./tar-reader.js";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** Other names of aufs's own, such as `.wh..wh.plnk`. */
const AUFS_MARK = ".wh..wh.";
const MAX_NAME_BYTES = 255;
/** What Linux follows in one look-up (MAXSYMLINKS). */
const MAX_LINKS = 40;
/** Folders in each other; a path of 4096 bytes has no more. */
const MAX_DEPTH = 2048;

export class FileTree {
  readonly root: DirectoryNode = plainDirectory();
  /** What the current layer put into each folder: whiteouts leave that alone, wherever in the layer they stand. */
  #touched = new Map<DirectoryNode, Set<string>>();

  beginLayer(): void {
    this.#touched = new Map();
  }

  /** `content` is needed for files. Throws MSB_ERR_UNSAFE_LAYER. */
  add(entry: TarEntry, content: FileContent | undefined): void {
    const parts = partsOf(entry.path);
    const name = parts.pop();
    if (name === undefined) {
      if (entry.kind !== "directory")
        throw unsafeEntry(entry.path, "would replace the image's root");
      this.root.attributes = attributesOf(entry);
      return;
    }
    const parent = this.#folder(parts, entry.path);
    if (name.startsWith(WHITEOUT)) this.#whiteOut(parent, name, entry.path);
    else if (entry.kind === "hardlink") this.#link(parent, name, entry);
    else this.#put(parent, name, nodeOf(entry, content));
  }

  #put(parent: DirectoryNode, name: string, node: TreeNode): void {
    const existing = parent.entries.get(name);
    if (node.kind === "directory" && existing?.kind === "directory") {
      existing.attributes = node.attributes;
    } else {
      parent.entries.set(name, node);
    }
    this.#touch(parent, name);
  }

  #link(parent: DirectoryNode, name: string, entry: TarEntry): void {
    const parts = partsOf(entry.linkPath);
    const targetName = parts.pop();
    const folder = this.#folder(parts, entry.path, "look-up");
    const target = folder?.entries.get(targetName ?? "");
    if (target === undefined) throw unsafeEntry(entry.path, "is a hard link to nothing");
    if (target.kind === "directory") throw unsafeEntry(entry.path, "is a hard link to a folder");
    this.#put(parent, name, target);
  }

  #whiteOut(parent: DirectoryNode, name: string, path: string): void {
    if (name === OPAQUE) {
      for (const child of [...parent.entries.keys()]) this.#removeLower(parent, child);
      return;
    }
    if (name.startsWith(AUFS_MARK)) return;
    const hidden = name.slice(WHITEOUT.length);
    if (hidden === "" || hidden === "." || hidden === "..") {
      throw unsafeEntry(path, "is a whiteout of no file of its folder");
    }
    this.#removeLower(parent, hidden);
  }

  /** Removes what lower layers brought; a folder that the current layer also filled stays with that. */
  #removeLower(parent: DirectoryNode, name: string): void {
    const node = parent.entries.get(name);
    const isTouched = this.#touched.get(parent)?.has(name) === true;
    if (node?.kind === "directory") {
      for (const child of [...node.entries.keys()]) this.#removeLower(node, child);
      if (isTouched || node.entries.size > 0) return;
    }
    if (!isTouched) parent.entries.delete(name);
  }

  #folder(parts: readonly string[], path: string): DirectoryNode;
  #folder(parts: readonly string[], path: string, purpose: "look-up"): DirectoryNode | undefined;
  /**
   * The folder at `parts`, through symbolic links as in a chroot. Missing folders are made, unless it is a mere
   * look-up.
   */
  #folder(
    parts: readonly string[],
    path: string,
    purpose: "make" | "look-up" = "make",
  ): DirectoryNode | undefined {
    const pending = parts.toReversed();
    let stack = [this.root];
    let links = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      const here = stack.at(-1)!;
      if (name === "..") {
        if (stack.length === 1) throw unsafeEntry(path, "climbs out of the image through a link");
        stack.pop();
        continue;
      }
      let child = here.entries.get(name);
      if (child === undefined) {
        if (purpose === "look-up") return undefined;
        child = plainDirectory();
        here.entries.set(name, child);
        this.#touch(here, name);
      }
      if (child.kind === "directory") {
        stack.push(child);
        if (stack.length > MAX_DEPTH) throw unsafeEntry(path, "lies too deep");
      } else if (child.kind === "symlink") {
        links += 1;
        if (links > MAX_LINKS) throw unsafeEntry(path, "lies behind too many links");
        if (child.target.startsWith("/")) stack = [this.root];
        pending.push(...split(child.target).toReversed());
      } else {
        throw unsafeEntry(path, "lies below something that is no folder");
      }
    }
    return stack.at(-1)!;
  }

  #touch(parent: DirectoryNode, name: string): void {
    const names = this.#touched.get(parent);
    if (names === undefined) this.#touched.set(parent, new Set([name]));
    else names.add(name);
  }
}

/** The names in a path of the archive; one that begins at "/" is meant from the image's root, as with tar. */
function partsOf(path: string): string[] {
  const parts = split(path);
  if (parts.includes("..")) throw unsafeEntry(path, 'has ".." in its path');
  if (parts.some((part) => part.length > MAX_NAME_BYTES)) {
    throw unsafeEntry(path, `has a name of more than ${MAX_NAME_BYTES} bytes`);
  }
  return parts;
}

function split(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function nodeOf(entry: TarEntry, content: FileContent | undefined): TreeNode {
  const attributes = attributesOf(entry);
  switch (entry.kind) {
    case "directory":
      return { ...plainDirectory(), attributes };
    case "symlink":
      if (entry.linkPath === "") throw unsafeEntry(entry.path, "is a link to nothing");
      return {
        kind: "symlink",
        attributes: { ...attributes, mode: 0o777 },
        target: entry.linkPath,
      };
    case "charDevice":
    case "blockDevice":
      return { kind: entry.kind, attributes, device: entry.device };
    case "fifo":
      return { kind: "fifo", attributes };
    default:
      return { kind: "file", attributes, content: content! };
  }
}

function attributesOf(entry: TarEntry): Attributes {
  const { mode, uid, gid, mtime } = entry;
  const storable = [...entry.xattrs].filter(([name]) => isStorableXattr(name));
  return { mode, uid, gid, mtime, xattrs: storable.length === 0 ? NO_XATTRS : new Map(storable) };
}

const NO_XATTRS: ReadonlyMap<string, string> = new Map();
