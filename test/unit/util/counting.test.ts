import { expect, test } from "vitest";
import { counting } from "../../../src/util/counting.js";
import { chunked } from "../../helpers/tar-builder.js";

test("every chunk is counted and passed on, until the counter has had enough", async () => {
  const counts: number[] = [];
  const seen: Buffer[] = [];
  const read = async (limit: number): Promise<void> => {
    let total = 0;
    const stream = counting(chunked(Buffer.from("abcde"), 2), (count) => {
      total += count;
      if (total > limit) throw new RangeError("enough");
      counts.push(count);
    });
    for await (const chunk of stream) seen.push(chunk);
  };
  await read(5);
  expect(counts).toEqual([2, 2, 1]);
  expect(Buffer.concat(seen).toString()).toBe("abcde");
  await expect(read(3)).rejects.toThrow("enough");
  expect(counts).toEqual([2, 2, 1, 2]);
});
