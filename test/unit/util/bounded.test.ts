import { expect, test } from "vitest";
import { forEachBounded } from "../../../src/util/bounded.js";

test("all items are worked on, so many at a time", async () => {
  const done: number[] = [];
  let now = 0;
  await forEachBounded([1, 2, 3, 4, 5], { limit: 2, what: "Work" }, async (item) => {
    expect(++now).toBeLessThanOrEqual(2);
    await Promise.resolve();
    now--;
    done.push(item);
  });
  expect(done).toEqual([1, 2, 3, 4, 5]);
});

test("the first failure aborts the others and is thrown when these have ended", async () => {
  let hasEnded = false;
  const failure = new Error("no");
  const working = forEachBounded([1, 2, 3], { limit: 2, what: "Work" }, async (item, signal) => {
    if (item === 2) throw failure;
    expect(item).toBe(1);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    hasEnded = true;
    throw new Error("aborted");
  });
  await expect(working).rejects.toBe(failure);
  expect(hasEnded).toBe(true);
});

test("an aborted signal stops it, before or while it works", async () => {
  const before = forEachBounded([1], { limit: 1, what: "Work", signal: AbortSignal.abort() }, () =>
    Promise.reject(new Error("never")),
  );
  await expect(before).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  const controller = new AbortController();
  const items: number[] = [];
  const opts = { limit: 1, what: "Work", signal: controller.signal };
  const during = forEachBounded([1, 2], opts, async (item) => {
    items.push(item);
    controller.abort();
  });
  await expect(during).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  expect(items).toEqual([1]);
});
