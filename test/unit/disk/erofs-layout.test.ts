import fc from "fast-check";
import { expect, test } from "vitest";
import { layOut, type Placement } from "../../../src/disk/erofs-layout.js";
import { type DirectoryNode, plainDirectory, type TreeNode } from "../../../src/disk/erofs-tree.js";
import { encodeXattrs } from "../../../src/disk/erofs-xattr.js";

const { attributes } = plainDirectory();

const file = (tailBytes: number, xattrBytes = 0): TreeNode => ({
  kind: "file",
  attributes: {
    ...attributes,
    xattrs: xattrBytes === 0 ? new Map() : new Map([["user.x", "x".repeat(xattrBytes)]]),
  },
  content: {
    sizeBytes: tailBytes,
    block: 1,
    blockCount: 0,
    tail: { offset: 0, length: tailBytes },
  },
});

function tree(files: readonly TreeNode[]): DirectoryNode {
  const root = plainDirectory();
  for (const [index, node] of files.entries()) root.entries.set(`${index}`, node);
  return root;
}

const range = ({ node, nid, inlineBytes }: Placement): [begin: number, end: number] => {
  const begin = nid * 32;
  return [begin, begin + 64 + encodeXattrs(node.attributes.xattrs).length + inlineBytes];
};

test("inodes never overlap, an inline tail lies in one block, and the root's address fits 16 bits", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          tail: fc.integer({ min: 1, max: 3000 }),
          xattr: fc.constantFrom(0, 0, 10, 900),
        }),
        { maxLength: 200 },
      ),
      (specs) => {
        const { placements, root, inodeBlocks } = layOut(
          tree(specs.map(({ tail, xattr }) => file(tail, xattr))),
        );
        expect(root.nid).toBeLessThan(65_536);
        const ranges = [...placements.values()].map(range).toSorted((a, b) => a[0] - b[0]);
        let previousEnd = 32;
        for (const [begin, end] of ranges) {
          expect(begin).toBeGreaterThanOrEqual(previousEnd);
          expect(Math.floor(begin / 4096)).toBe(Math.floor((end - 1) / 4096));
          previousEnd = end;
        }
        expect(previousEnd).toBeLessThanOrEqual(inodeBlocks * 4096);
      },
    ),
  );
});

test("attributes longer than a block have blocks of their own", () => {
  const { placements, inodeBlocks } = layOut(tree([file(1, 9000), file(1)]));
  const long = [...placements.values()][1]!;
  expect(long.nid % 128).toBe(0);
  expect(inodeBlocks).toBe(1 + 3);
});

test("links are counted: names of files, subfolders of folders", () => {
  const root = plainDirectory();
  const shared = file(1);
  root.entries.set("b", shared);
  root.entries.set("a", plainDirectory());
  (root.entries.get("a") as DirectoryNode).entries.set("c", shared);
  const { placements } = layOut(root);
  expect(placements.size).toBe(3);
  expect(placements.get(shared)?.nlink).toBe(2);
  expect(placements.get(root)?.nlink).toBe(3);
  expect([...root.entries.keys()]).toEqual(["a", "b"]);
});
