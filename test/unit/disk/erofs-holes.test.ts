import { open } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { FileContent } from "../../../src/disk/erofs-data.js";
import { closeUp, planClosing } from "../../../src/disk/erofs-holes.js";
import { tempDir } from "../../helpers/temp-dir.js";

const BLOCK = 4096;

/** Contents side by side from block 1 on. */
function contentsOf(blockCounts: readonly number[]): FileContent[] {
  let block = 1;
  return blockCounts.map((blockCount) => {
    const content = { sizeBytes: blockCount * BLOCK, block, blockCount, tail: null };
    block += blockCount;
    return content;
  });
}

describe("a plan", () => {
  test("moves nothing while nothing is missing", () => {
    const contents = contentsOf([1, 2, 3]);
    const plan = planClosing(contents, new Set(contents), 1);
    expect(plan).toEqual({ moves: [], left: [], endBlock: 7 });
  });

  test("fills a hole from the end", () => {
    const [a, gone, c, d] = contentsOf([1, 3, 4, 2]);
    const plan = planClosing([a!, gone!, c!, d!], new Set([a!, c!, d!]), 1);
    expect(plan.moves).toEqual([{ content: d, to: 2 }]);
    expect(plan.left).toEqual([{ block: 4, blockCount: 1 }]);
    expect(plan.endBlock).toBe(9);
  });

  test("cuts off what is missing at the end", () => {
    const [a, gone] = contentsOf([2, 5]);
    expect(planClosing([a!, gone!], new Set([a!]), 1)).toEqual({
      moves: [],
      left: [],
      endBlock: 3,
    });
    expect(planClosing([a!, gone!], new Set(), 1).endBlock).toBe(1);
  });
});

test("closing up keeps every content, shows nothing of the others, and never makes the disk longer", async () => {
  const dir = await tempDir();
  let round = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ blocks: fc.integer({ min: 1, max: 5 }), isLive: fc.boolean() }), {
        maxLength: 40,
      }),
      async (files) => {
        const contents = contentsOf(files.map(({ blocks }) => blocks));
        const live = new Set(contents.filter((_, index) => files[index]!.isLive));
        const fill = (index: number): number => (files[index]!.isLive ? 1 + (index % 200) : 255);
        const path = join(dir, `${round++}`);
        const disk = await open(path, "wx+");
        try {
          for (const [index, content] of contents.entries()) {
            const bytes = Buffer.alloc(content.blockCount * BLOCK, fill(index));
            await disk.write(bytes, 0, bytes.length, content.block * BLOCK);
          }
          const before = contents.reduce((sum, content) => sum + content.blockCount, 1);
          const plan = planClosing(contents, live, 1);
          await closeUp(disk, plan);
          const { size } = await disk.stat();
          expect(size).toBe(plan.endBlock * BLOCK);
          expect(plan.endBlock).toBeLessThanOrEqual(before);
          const all = Buffer.alloc(size);
          await disk.read(all, 0, size, 0);
          for (const [index, content] of contents.entries()) {
            if (!live.has(content)) continue;
            const begin = content.block * BLOCK;
            const bytes = all.subarray(begin, begin + content.blockCount * BLOCK);
            expect(bytes.equals(Buffer.alloc(bytes.length, fill(index)))).toBe(true);
          }
          expect(all.includes(255)).toBe(false);
        } finally {
          await disk.close();
        }
      },
    ),
    { numRuns: 100 },
  );
});
