import { describe, expect, test } from "vitest";
import type { FileContent } from "../../../../src/disk/erofs-data.js";
import type { DirectoryNode } from "../../../../src/disk/erofs-tree.js";
import { isMsbError } from "../../../../src/errors.js";
import { FileTree } from "../../../../src/oci/layer/file-tree.js";
import type { TarEntry, TarEntryKind } from "../../../../src/oci/layer/tar-reader.js";

const content = (): FileContent => ({ sizeBytes: 0, block: 0, blockCount: 0, tail: null });

function entry(path: string, kind: TarEntryKind = "file", more: Partial<TarEntry> = {}): TarEntry {
  return {
    kind,
    path,
    linkPath: "",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: { seconds: 0n, nanoseconds: 0 },
    device: { major: 0, minor: 0 },
    sizeBytes: 0,
    xattrs: new Map(),
    ...more,
  };
}

const folder = (path: string, mode = 0o755) => entry(path, "directory", { mode });
const symlink = (path: string, linkPath: string) => entry(path, "symlink", { linkPath });
const hardlink = (path: string, linkPath: string) => entry(path, "hardlink", { linkPath });

/** Applies layers, each a list of entries; a string is a file of that path. */
function apply(...layers: (TarEntry | string)[][]): FileTree {
  const tree = new FileTree();
  for (const layer of layers) {
    tree.beginLayer();
    for (const item of layer) {
      const one = typeof item === "string" ? entry(item) : item;
      tree.add(one, one.kind === "file" ? content() : undefined);
    }
  }
  return tree;
}

/** All paths, folders with a slash, links with their target. */
function paths(tree: FileTree): string[] {
  const found: string[] = [];
  const walk = (node: DirectoryNode, prefix: string): void => {
    for (const [name, child] of node.entries) {
      const path = `${prefix}${name}`;
      if (child.kind === "directory") {
        found.push(`${path}/`);
        walk(child, `${path}/`);
      } else found.push(child.kind === "symlink" ? `${path} -> ${child.target}` : path);
    }
  };
  walk(tree.root, "");
  return found.toSorted();
}

/** Why these layers are refused. */
function refusal(...layers: (TarEntry | string)[][]): string {
  try {
    apply(...layers);
  } catch (error) {
    if (isMsbError(error, "MSB_ERR_UNSAFE_LAYER")) return error.message;
    throw error;
  }
  return "not refused";
}

describe("entries", () => {
  test("make the folders above them, however the path is written", () => {
    expect(paths(apply(["./a//b/./c", "/d"]))).toEqual(["a/", "a/b/", "a/b/c", "d"]);
  });

  test("replace what was there; a folder over a folder keeps what is in it", () => {
    const tree = apply(["a/x", "b"], [folder("a", 0o700), folder("b"), "b/y"], ["a/x/"]);
    expect(paths(tree)).toEqual(["a/", "a/x", "b/", "b/y"]);
    const node = tree.root.entries.get("a") as DirectoryNode;
    expect(node.attributes.mode).toBe(0o700);
  });

  test("of another kind replace a folder with all that is in it", () => {
    expect(paths(apply(["a/x/y"], [symlink("a", "b")]))).toEqual(["a -> b"]);
  });

  test("for the root change its attributes only", () => {
    const tree = apply(["a"], [folder("./", 0o711)]);
    expect(paths(tree)).toEqual(["a"]);
    expect(tree.root.attributes.mode).toBe(0o711);
    expect(refusal([entry("./")])).toMatch(/root/);
  });

  test("lose attributes that the guest's overlay would take for its own", () => {
    const xattrs = new Map([
      ["user.kept", "1"],
      ["trusted.overlay.opaque", "y"],
      ["user.overlay.opaque", "y"],
      ["system.unknown", "1"],
    ]);
    const tree = apply([entry("a", "file", { xattrs })]);
    expect([...tree.root.entries.get("a")!.attributes.xattrs.keys()]).toEqual(["user.kept"]);
  });
});

describe("a whiteout", () => {
  test("removes a file or a whole folder of lower layers", () => {
    expect(paths(apply(["a", "b/c", "b/d"], [".wh.a", "b/.wh.c"], []))).toEqual(["b/", "b/d"]);
    expect(paths(apply(["b/c/d"], [".wh.b"]))).toEqual([]);
  });

  test("leaves what its own layer brings, before and after it", () => {
    expect(paths(apply(["a/x"], ["a/y", ".wh.a", "a/z"]))).toEqual(["a/", "a/y", "a/z"]);
    expect(paths(apply(["f"], ["f", ".wh.f"]))).toEqual(["f"]);
  });

  test("of something that is not there changes nothing but the folders above it", () => {
    expect(paths(apply(["a"], ["b/.wh.c", ".wh.d"]))).toEqual(["a", "b/"]);
  });

  test("that is opaque empties its folder of lower layers", () => {
    const tree = apply(["a/x", "a/b/y", "k"], ["a/b/z", "a/.wh..wh..opq", "a/n"]);
    expect(paths(tree)).toEqual(["a/", "a/b/", "a/b/z", "a/n", "k"]);
  });

  test("does not count the layer below as its own", () => {
    expect(paths(apply(["a/x"], ["a/y"], ["a/.wh.y"]))).toEqual(["a/", "a/x"]);
  });

  test("acts on where a link leads", () => {
    const tree = apply(["usr/lib/x", symlink("lib", "usr/lib")], ["lib/.wh.x"]);
    expect(paths(tree)).toEqual(["lib -> usr/lib", "usr/", "usr/lib/"]);
  });

  test("that climbs or names nothing is refused", () => {
    for (const name of [".wh.", ".wh..", ".wh..."]) {
      expect(refusal([`a/${name}`])).toMatch(/whiteout of no file/);
    }
  });

  test("of aufs's own kinds means nothing", () => {
    expect(paths(apply(["a"], [".wh..wh.plnk", ".wh..wh.aufs"]))).toEqual(["a"]);
  });
});

describe("a hard link", () => {
  test("is the same inode, also across layers and links", () => {
    const tree = apply(
      ["usr/bin/a", symlink("bin", "usr/bin")],
      [hardlink("b", "bin/a"), hardlink("c", "./b")],
    );
    const bin = (tree.root.entries.get("usr") as DirectoryNode).entries.get("bin") as DirectoryNode;
    expect(tree.root.entries.get("b")).toBe(bin.entries.get("a"));
    expect(tree.root.entries.get("c")).toBe(bin.entries.get("a"));
  });

  test("outlives the name it was made from", () => {
    expect(paths(apply(["a"], [hardlink("b", "a"), ".wh.a"]))).toEqual(["b"]);
    expect(paths(apply(["a"], [hardlink("b", "a")], ["a", ".wh.b"]))).toEqual(["a"]);
  });

  test("may name a symbolic link itself", () => {
    const tree = apply([symlink("s", "nowhere"), hardlink("t", "s")]);
    expect(paths(tree)).toEqual(["s -> nowhere", "t -> nowhere"]);
  });

  test("to nothing, to a folder or out of the image is refused", () => {
    expect(refusal([hardlink("a", "b")])).toMatch(/to nothing/);
    expect(refusal([hardlink("a", "b/c")])).toMatch(/to nothing/);
    expect(refusal([folder("b"), hardlink("a", "b")])).toMatch(/to a folder/);
    expect(refusal([hardlink("a", "../etc/passwd")])).toMatch(/"\.\."/);
  });
});

describe("a path", () => {
  test("goes through symbolic links as in a chroot", () => {
    const tree = apply([
      symlink("lib", "usr/lib"),
      symlink("abs", "/opt/x"),
      symlink("opt/x/up", "../y"),
      "lib/a",
      "abs/up/b",
    ]);
    expect(paths(tree)).toEqual([
      "abs -> /opt/x",
      "lib -> usr/lib",
      "opt/",
      "opt/x/",
      "opt/x/up -> ../y",
      "opt/y/",
      "opt/y/b",
      "usr/",
      "usr/lib/",
      "usr/lib/a",
    ]);
  });

  test("replaces a link at its end, and does not follow it", () => {
    expect(paths(apply(["t", symlink("l", "t")], ["l"]))).toEqual(["l", "t"]);
    expect(paths(apply([folder("t"), symlink("l", "t")], [folder("l")]))).toEqual(["l/", "t/"]);
  });

  test("that leaves the image is refused", () => {
    expect(refusal(["../a"])).toMatch(/"\.\."/);
    expect(refusal(["a/../../b"])).toMatch(/"\.\."/);
    expect(refusal([symlink("up", "../.."), "up/etc/passwd"])).toMatch(/climbs out/);
  });

  test("that goes in circles, through files or without end is refused", () => {
    expect(refusal([symlink("a", "b"), symlink("b", "a"), "a/x"])).toMatch(/too many links/);
    expect(refusal(["f", "f/x"])).toMatch(/no folder/);
    expect(refusal(["x".repeat(256)])).toMatch(/255 bytes/);
    const deep = "d/".repeat(1500);
    expect(refusal([`${deep}x`, symlink("l", deep), `l/${deep}y`])).toMatch(/too deep/);
  });

  test("named like a property of objects is a name like others", () => {
    expect(paths(apply(["__proto__/constructor", "toString"]))).toEqual([
      "__proto__/",
      "__proto__/constructor",
      "toString",
    ]);
  });
});
