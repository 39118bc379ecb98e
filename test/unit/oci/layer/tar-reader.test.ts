import { describe, expect, test } from "vitest";
import { type OpenTarEntry, TarReader } from "../../../../src/oci/layer/tar-reader.js";
import { chunked, type EntrySpec, metaEntry, tar, tarEntry } from "../../../helpers/tar-builder.js";

async function readAll(
  archive: Buffer,
  chunkBytes?: number,
): Promise<(OpenTarEntry & { data: string })[]> {
  const reader = new TarReader(chunked(archive, chunkBytes));
  const entries: (OpenTarEntry & { data: string })[] = [];
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    const chunks: Buffer[] = [];
    for (;;) {
      const chunk = await reader.data(100);
      if (chunk === undefined) break;
      chunks.push(chunk);
    }
    entries.push({ ...entry, data: Buffer.concat(chunks).toString("latin1") });
  }
  return entries;
}

const readOne = async (spec: EntrySpec) => (await readAll(tar([spec])))[0]!;

test("attributes come as they were written", async () => {
  const entry = await readOne({
    path: "usr/bin/tool",
    mode: 0o4755,
    uid: 1000,
    gid: 65_534,
    mtime: 1_700_000_000,
    data: "content",
  });
  expect(entry).toMatchObject({
    kind: "file",
    path: "usr/bin/tool",
    mode: 0o4755,
    uid: 1000,
    gid: 65_534,
    mtime: { seconds: 1_700_000_000n, nanoseconds: 0 },
    sizeBytes: 7,
    data: "content",
  });
});

test.each([
  ["1", "hardlink"],
  ["2", "symlink"],
  ["3", "charDevice"],
  ["4", "blockDevice"],
  ["5", "directory"],
  ["6", "fifo"],
  ["7", "file"],
  ["\0", "file"],
])("type %j is a %s, and no data follows what is no file", async (type, kind) => {
  const isFile = kind === "file";
  const [entry, next] = await readAll(
    tar([
      { path: "a", type, linkPath: "b", device: { major: 8, minor: 300 }, size: isFile ? 0 : 9 },
      { path: "next" },
    ]),
  );
  expect(entry).toMatchObject({ kind, path: "a", sizeBytes: 0 });
  expect(next?.path).toBe("next");
  const device = kind.endsWith("Device") ? { major: 8, minor: 300 } : { major: 0, minor: 0 };
  expect(entry?.device).toEqual(device);
});

test("GNU headers have their devices in the same place", async () => {
  const entry = await readOne({
    path: "d",
    type: "3",
    format: "gnu",
    device: { major: 1, minor: 3 },
  });
  expect(entry.device).toEqual({ major: 1, minor: 3 });
});

test("a file whose name ends in a slash is a folder, as before ustar", async () => {
  expect(await readOne({ path: "old/", type: "0", format: "v7" })).toMatchObject({
    kind: "directory",
  });
});

test.each([1, 7, 512, 10_000])("chunks of %i bytes make no difference", async (chunkBytes) => {
  const archive = tar([
    { path: "one", data: "x".repeat(700) },
    { path: "l".repeat(300), data: "long" },
    { path: "two", pax: [["mtime", "1.5"]], data: "y" },
  ]);
  const entries = await readAll(archive, chunkBytes);
  expect(entries.map(({ path, data }) => [path.length, data.length])).toEqual([
    [3, 700],
    [300, 4],
    [3, 1],
  ]);
  expect(entries[2]?.mtime).toEqual({ seconds: 1n, nanoseconds: 500_000_000 });
});

test("data that nobody read is passed over", async () => {
  const reader = new TarReader(chunked(tar([{ path: "a", data: "x".repeat(600) }, { path: "b" }])));
  await reader.next();
  await reader.data(10);
  expect((await reader.next())?.path).toBe("b");
});

test("names that are not UTF-8 and prefixes survive", async () => {
  expect((await readOne({ path: "caf\xe9\xff" })).path).toBe("caf\xe9\xff");
  const prefixed = await readOne({ path: "name", patch: [[345, Buffer.from("some/prefix")]] });
  expect(prefixed.path).toBe("some/prefix/name");
  const long = Buffer.concat([tarEntry({ path: "p\xe9".repeat(200), data: "1" })]);
  expect((await readAll(tar([long])))[0]?.path).toBe("p\xe9".repeat(200));
});

test("a long name whose first hundred bytes end in a slash is still that of a file", async () => {
  const path = `${"d".repeat(99)}/file`;
  const [entry, next] = await readAll(tar([{ path, data: "content" }, { path: "next" }]));
  expect(entry).toMatchObject({ kind: "file", path, data: "content" });
  expect(next?.path).toBe("next");
});

describe("an extended header", () => {
  test("replaces path, link, size, owners and time", async () => {
    const entry = await readOne({
      path: "short",
      data: "12345",
      size: 5,
      pax: [
        ["path", "a name with\nnew line and \xe9"],
        ["uid", "4000000000"],
        ["gid", "7"],
        ["mtime", "-1.25"],
      ],
    });
    expect(entry).toMatchObject({
      path: "a name with\nnew line and \xe9",
      uid: 4_000_000_000,
      gid: 7,
      mtime: { seconds: -2n, nanoseconds: 750_000_000 },
    });
  });

  test("brings attributes, with zero bytes in them", async () => {
    const capability = "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const entry = await readOne({
      path: "ping",
      pax: [
        ["SCHILY.xattr.security.capability", capability],
        ["LIBARCHIVE.xattr.user.a%3Db", Buffer.from("value").toString("base64")],
      ],
    });
    expect([...entry.xattrs]).toEqual([
      ["security.capability", capability],
      ["user.a=b", "value"],
    ]);
  });

  test("is for the next entry alone; a global one is for none", async () => {
    const [first, second] = await readAll(
      tar([
        metaEntry("g", Buffer.from("14 mtime=9999\n")),
        { path: "one", pax: [["uid", "5"]] },
        { path: "two" },
      ]),
    );
    expect(first).toMatchObject({ uid: 5, mtime: { seconds: 0n } });
    expect(second?.uid).toBe(0);
  });

  test.each([
    ["a wrong length", "99 path=x\n"],
    ["no length", "path=x\n"],
    ["no key", "5 xx\n"],
    ["no line end", "9 path=xx"],
  ])("with %s is refused", async (_, text) => {
    const archive = tar([metaEntry("x", Buffer.from(text)), { path: "a" }]);
    await expect(readAll(archive)).rejects.toMatchObject({ code: "MSB_ERR_IMAGE_INVALID" });
  });

  test("larger than 1 MiB is refused before it is read", async () => {
    const archive = tar([metaEntry("x", Buffer.alloc(1024 ** 2 + 512))]);
    await expect(readAll(archive)).rejects.toThrow(/more than 1048576 bytes/);
  });

  test("with more than 64 KiB of attributes is refused", async () => {
    const pax = [["SCHILY.xattr.user.a", "x".repeat(65_536)]] as const;
    await expect(readOne({ path: "a", pax })).rejects.toMatchObject({
      code: "MSB_ERR_UNSAFE_LAYER",
    });
  });
});

describe("a sparse file", () => {
  const expected = {
    kind: "file",
    path: "sparse",
    sizeBytes: 10_000,
    runs: [
      { offset: 4096, length: 3 },
      { offset: 9000, length: 2 },
    ],
    data: "abcde",
  };
  const number = (value: number): Buffer => Buffer.from(`${value.toString(8).padStart(11, "0")}\0`);

  test("of the old format", async () => {
    const runs = Buffer.concat([4096, 3, 9000, 2].map(number));
    const entry = await readOne({
      path: "sparse",
      type: "S",
      format: "gnu",
      data: "abcde",
      patch: [
        [386, runs],
        [483, number(10_000)],
      ],
    });
    expect(entry).toMatchObject(expected);
  });

  test("of the old format with more runs than the header holds", async () => {
    const four = Buffer.concat([0, 1, 10, 1, 20, 1, 30, 1].map(number));
    const more = Buffer.alloc(512);
    Buffer.concat([40, 1].map(number)).copy(more);
    const header = tarEntry({
      path: "sparse",
      type: "S",
      format: "gnu",
      size: 5,
      patch: [
        [386, four],
        [482, Buffer.from([1])],
        [483, number(100)],
      ],
    });
    const data = Buffer.alloc(512);
    data.write("abcde");
    const [entry, next] = await readAll(tar([header, more, data, { path: "next" }]));
    expect(entry?.runs).toHaveLength(5);
    expect(entry?.data).toBe("abcde");
    expect(next?.path).toBe("next");
  });

  test("of pax 0.0 and 0.1", async () => {
    const common = { path: "x", data: "abcde" };
    const zero = await readOne({
      ...common,
      pax: [
        ["GNU.sparse.size", "10000"],
        ["GNU.sparse.numblocks", "2"],
        ["GNU.sparse.offset", "4096"],
        ["GNU.sparse.numbytes", "3"],
        ["GNU.sparse.offset", "9000"],
        ["GNU.sparse.numbytes", "2"],
        ["GNU.sparse.name", "sparse"],
      ],
    });
    expect(zero).toMatchObject(expected);
    const one = await readOne({
      ...common,
      pax: [
        ["GNU.sparse.size", "10000"],
        ["GNU.sparse.name", "sparse"],
        ["GNU.sparse.map", "4096,3,9000,2"],
      ],
    });
    expect(one).toMatchObject(expected);
  });

  test("of pax 1.0", async () => {
    const map = Buffer.alloc(512);
    map.write("2\n4096\n3\n9000\n2\n");
    const entry = await readOne({
      path: "GNUSparseFile.1/sparse",
      data: Buffer.concat([map, Buffer.from("abcde")]),
      pax: [
        ["GNU.sparse.major", "1"],
        ["GNU.sparse.minor", "0"],
        ["GNU.sparse.name", "sparse"],
        ["GNU.sparse.realsize", "10000"],
      ],
    });
    expect(entry).toMatchObject(expected);
  });

  test.each(["4096,3,9000", "9000,2,4096,3", "4096,3,9999,2", "0,6"])(
    "with the map %s is refused",
    async (map) => {
      const pax = [
        ["GNU.sparse.size", "10000"],
        ["GNU.sparse.map", map],
      ] as const;
      await expect(readOne({ path: "x", data: "abcde", pax })).rejects.toMatchObject({
        code: "MSB_ERR_IMAGE_INVALID",
      });
    },
  );
});

describe("a broken archive", () => {
  const whole = tar([{ path: "a", data: "x".repeat(2000) }]);

  test("that ends early is refused, wherever it ends", async () => {
    for (const end of [100, 511, 600, 2000, 2511]) {
      await expect(readAll(whole.subarray(0, end))).rejects.toMatchObject({
        code: "MSB_ERR_IMAGE_INVALID",
      });
    }
  });

  test("without the zero blocks at its end, or the padding before them, is read", async () => {
    expect(await readAll(whole.subarray(0, 512 + 2000))).toMatchObject([{ sizeBytes: 2000 }]);
    expect(await readAll(whole.subarray(0, whole.length - 1024))).toHaveLength(1);
    expect(await readAll(Buffer.alloc(0))).toEqual([]);
  });

  test("with a wrong checksum or an unknown type is refused", async () => {
    const damaged = Buffer.from(whole);
    damaged[0]! ^= 1;
    await expect(readAll(damaged)).rejects.toThrow(/checksum/);
    await expect(readOne({ path: "a", type: "Z" })).rejects.toThrow(/the type "Z"/);
  });

  test("with names that no system has is refused", async () => {
    await expect(readOne({ path: "" })).rejects.toMatchObject({ code: "MSB_ERR_UNSAFE_LAYER" });
    const zero = [["path", "a\0b"]] as const;
    await expect(readOne({ path: "a", pax: zero })).rejects.toThrow(/zero byte/);
    const long = [["path", "a/".repeat(3000)]] as const;
    await expect(readOne({ path: "a", pax: long })).rejects.toThrow(/4096/);
  });
});
