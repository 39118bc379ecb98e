/** Three layers with all that a layer can hold; what every unpacker must agree on. */
import { type EntrySpec, tar } from "./tar-builder.js";

const CAPABILITY = "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const time = (seconds: number, nanoseconds: string) =>
  [["mtime", `${seconds}.${nanoseconds}`]] as const;

const pattern = (bytes: number, seed: number): Buffer =>
  Buffer.from(Uint8Array.from({ length: bytes }, (_, index) => (index * 31 + seed) & 0xff));

const bottom: EntrySpec[] = [
  { path: "./", type: "5", mode: 0o755, mtime: 1_600_000_000 },
  ...["bin/", "dev/", "etc/", "proc/", "sys/", "root/", "run/", "var/"].map((path): EntrySpec => ({
    path,
    type: "5",
    mode: 0o755,
    mtime: 1_600_000_001,
  })),
  { path: "tmp/", type: "5", mode: 0o1777, mtime: 1_600_000_002 },
  { path: "etc/passwd", data: "root:x:0:0::/root:/bin/sh\n", mtime: 5 },
  { path: "etc/shadow", data: "secret", mode: 0o640, gid: 42 },
  { path: "bin/su", data: pattern(9000, 1), mode: 0o4755 },
  { path: "bin/wall", data: pattern(4096, 2), mode: 0o2755, gid: 5 },
  {
    path: "bin/ping",
    data: pattern(4097, 3),
    mode: 0o755,
    pax: [["SCHILY.xattr.security.capability", CAPABILITY], ...time(1_700_000_000, "123456789")],
  },
  {
    path: "etc/attributes",
    data: "x",
    pax: [
      ["SCHILY.xattr.user.one", "1"],
      ["SCHILY.xattr.user.binary", "\0\x01\xff"],
      ["SCHILY.xattr.trusted.two", "2".repeat(3000)],
    ],
  },
  {
    path: "var/attributed/",
    type: "5",
    mode: 0o750,
    uid: 100_000,
    gid: 200_000,
    pax: [["SCHILY.xattr.user.folder", "yes"]],
  },
  { path: "etc/link", type: "2", linkPath: "passwd", uid: 3, gid: 4, mtime: 7 },
  { path: "etc/absolute", type: "2", linkPath: "/etc/passwd" },
  { path: "etc/dangling", type: "2", linkPath: "../no/where" },
  { path: "etc/long-link", type: "2", linkPath: "t/".repeat(500) },
  { path: "etc/hard", type: "1", linkPath: "etc/passwd" },
  { path: "etc/hard-to-link", type: "1", linkPath: "etc/link" },
  { path: "dev/null", type: "3", device: { major: 1, minor: 3 }, mode: 0o666 },
  { path: "dev/wide", type: "3", format: "gnu", device: { major: 300, minor: 70_000 } },
  { path: "dev/loop", type: "4", device: { major: 7, minor: 0 }, mode: 0o660, gid: 6 },
  { path: "run/fifo", type: "6", mode: 0o600 },
  { path: "empty", data: "" },
  ...[1, 4031, 4032, 4033, 4095, 4096, 4097, 8191, 8192, 70_000].map((size): EntrySpec => ({
    path: `sizes/${size}`,
    data: pattern(size, size),
  })),
  { path: "caf\xe9-\xff\x80", data: "not UTF-8" },
  { path: "space and\ttab", data: "1" },
  { path: `${"n".repeat(255)}`, data: "longest name" },
  { path: `${"d".repeat(99)}/file`, data: "a hundred bytes that end in a slash" },
  { path: `deep/${"long-folder-name/".repeat(30)}file`, data: "GNU long name" },
  {
    path: "pax",
    pax: [["path", `pax/${"x".repeat(200)}/${"y".repeat(200)}`]],
    data: "pax name",
  },
  { path: "usr/lib/", type: "5", mode: 0o755 },
  { path: "lib", type: "2", linkPath: "usr/lib" },
  { path: "usr/lib/old", data: "removed later" },
  { path: "usr/lib/kept", data: pattern(20_000, 9) },
  { path: "opaque/a", data: pattern(50_000, 10) },
  { path: "opaque/b/c", data: "also gone" },
  { path: "gone/x/y/z", data: pattern(12_345, 11) },
  { path: "becomes-folder", data: "file" },
  { path: "becomes-file/inner", data: "folder" },
  { path: "replaced", data: pattern(30_000, 12) },
  { path: "shared", data: pattern(5000, 13), mode: 0o600 },
];

const sparseMap = Buffer.alloc(512);
sparseMap.write("2\n8192\n5\n1048576\n4096\n");

const middle: EntrySpec[] = [
  { path: "usr/lib/.wh.old" },
  { path: "opaque/.wh..wh..opq" },
  { path: "opaque/new", data: "new" },
  { path: ".wh.gone" },
  { path: "becomes-folder/", type: "5", mode: 0o700 },
  { path: "becomes-folder/inner", data: "now" },
  { path: "becomes-file", data: "now a file" },
  { path: "replaced", data: pattern(100, 14), uid: 1000, gid: 1000 },
  { path: "link-to-lower", type: "1", linkPath: "shared" },
  { path: "etc/", type: "5", mode: 0o711, mtime: 1_600_000_099 },
  {
    path: "GNUSparseFile.0/sparse",
    data: Buffer.concat([sparseMap, Buffer.from("hello"), pattern(4096, 15)]),
    pax: [
      ["GNU.sparse.major", "1"],
      ["GNU.sparse.minor", "0"],
      ["GNU.sparse.name", "sparse"],
      ["GNU.sparse.realsize", "3000000"],
    ],
  },
  { path: "early", data: "1", mtime: 0 },
  { path: "before-1970", data: "2", pax: [["mtime", "-1.5"]] },
  { path: "after-2038", data: "3", pax: [["mtime", "4294967297.000000001"]] },
];

const top: EntrySpec[] = [
  { path: "opaque/.wh.new" },
  { path: "opaque/newest", data: "newest" },
  { path: "many/", type: "5", mode: 0o755 },
  ...Array.from({ length: 3000 }, (_, index): EntrySpec => ({
    path: `many/file-${index}-${"x".repeat(index % 200)}`,
    data: `${index}`,
  })),
];

/** With an entry for every folder: what attributes an unmentioned one gets is each unpacker's own business. */
function withFolders(entries: readonly EntrySpec[]): EntrySpec[] {
  const known = new Set(entries.map(({ path }) => path));
  return entries.flatMap((entry) => {
    const path = entry.pax?.find(([key]) => key === "path")?.[1] ?? entry.path;
    const parents = [...path.matchAll(/\/(?=.)/g)].map(({ index }) => path.slice(0, index + 1));
    const missing = parents.filter((parent) => !known.has(parent));
    for (const parent of missing) known.add(parent);
    return [
      ...missing.map((parent): EntrySpec => ({ path: parent, type: "5", mode: 0o755 })),
      entry,
    ];
  });
}

/** Lowest first, uncompressed. */
export function nastyLayers(): Buffer[] {
  return [tar(withFolders(bottom)), tar(middle), tar(top)];
}
