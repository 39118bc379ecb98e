/** A file system as it will be on an EROFS disk. Names, targets and attribute values are byte strings. */
import type { FileContent } from "./erofs-data.js";

export interface Attributes {
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: { readonly seconds: bigint; readonly nanoseconds: number };
  /** By full name, such as `security.capability`. */
  readonly xattrs: ReadonlyMap<string, string>;
}

export interface DirectoryNode {
  readonly kind: "directory";
  attributes: Attributes;
  readonly entries: Map<string, TreeNode>;
}

export interface FileNode {
  readonly kind: "file";
  readonly attributes: Attributes;
  readonly content: FileContent;
}

export interface SymlinkNode {
  readonly kind: "symlink";
  readonly attributes: Attributes;
  readonly target: string;
}

export interface DeviceNode {
  readonly kind: "charDevice" | "blockDevice";
  readonly attributes: Attributes;
  readonly device: { readonly major: number; readonly minor: number };
}

export interface FifoNode {
  readonly kind: "fifo";
  readonly attributes: Attributes;
}

/** One inode. What is no directory may stand in several directories: those are hard links. */
export type TreeNode = DirectoryNode | FileNode | SymlinkNode | DeviceNode | FifoNode;

/** A folder that nobody described. */
export function plainDirectory(): DirectoryNode {
  return {
    kind: "directory",
    attributes: {
      mode: 0o755,
      uid: 0,
      gid: 0,
      mtime: { seconds: 0n, nanoseconds: 0 },
      xattrs: new Map(),
    },
    entries: new Map(),
  };
}
