/** Inline extended attributes (Linux, fs/erofs/erofs_fs.h: erofs_xattr_ibody_header, erofs_xattr_entry). */

const HEADER_BYTES = 12;
const ENTRY_BYTES = 4;
const ALIGNMENT = 4;

/** A name is stored as the index of its prefix and the rest. ACLs have no rest. */
const PREFIXES: readonly (readonly [prefix: string, index: number])[] = [
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["user.", 1],
  ["trusted.", 4],
  ["security.", 6],
];

/**
 * False for names that EROFS has no prefix for, and for overlayfs's own marks: the image is the lower layer of
 * an overlay in the guest, which would take them for its own.
 */
export function isStorableXattr(name: string): boolean {
  return prefixOf(name) !== undefined && !/^(trusted|user)\.overlay\./.test(name);
}

/** What follows the inode; empty without attributes. Names must be storable; names and values are byte strings. */
export function encodeXattrs(xattrs: ReadonlyMap<string, string>): Buffer {
  if (xattrs.size === 0) return Buffer.alloc(0);
  const names = [...xattrs.keys()].toSorted((a, b) => (a < b ? -1 : 1));
  return Buffer.concat([
    Buffer.alloc(HEADER_BYTES),
    ...names.map((name) => encodeEntry(name, Buffer.from(xattrs.get(name)!, "latin1"))),
  ]);
}

/** `i_xattr_icount` of that many encoded bytes. */
export function xattrCount(encodedBytes: number): number {
  return encodedBytes === 0 ? 0 : 1 + (encodedBytes - HEADER_BYTES) / ALIGNMENT;
}

function encodeEntry(name: string, value: Buffer): Buffer {
  const [prefix, index] = prefixOf(name)!;
  const rest = Buffer.from(name.slice(prefix.length), "latin1");
  const length = ENTRY_BYTES + rest.length + value.length;
  const entry = Buffer.alloc(Math.ceil(length / ALIGNMENT) * ALIGNMENT);
  entry.writeUInt8(rest.length, 0);
  entry.writeUInt8(index, 1);
  entry.writeUInt16LE(value.length, 2);
  entry.set(rest, ENTRY_BYTES);
  entry.set(value, ENTRY_BYTES + rest.length);
  return entry;
}

function prefixOf(name: string): readonly [prefix: string, index: number] | undefined {
  return PREFIXES.find(([prefix]) =>
    prefix.endsWith(".") ? name.startsWith(prefix) && name.length > prefix.length : name === prefix,
  );
}
