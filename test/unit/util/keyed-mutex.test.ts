import { expect, test } from "vitest";
import { KeyedMutex } from "../../../src/util/keyed-mutex.js";

test("turns of a key come one after the other, those of another key at once", async () => {
  const mutex = new KeyedMutex();
  const order: string[] = [];
  const one = await mutex.lock("a", "x");
  const two = mutex.lock("a", "x").then((turn) => (order.push("two"), turn));
  const three = mutex.lock("a", "x").then((turn) => (order.push("three"), turn));
  (await mutex.lock("b", "x"))[Symbol.dispose]();
  expect(order).toEqual([]);
  one[Symbol.dispose]();
  one[Symbol.dispose]();
  (await two)[Symbol.dispose]();
  (await three)[Symbol.dispose]();
  expect(order).toEqual(["two", "three"]);
  expect(mutex.isLocked("a")).toBe(false);
});

test("a turn that nobody wants any more goes to the next", async () => {
  const mutex = new KeyedMutex();
  const one = await mutex.lock("a", "x");
  const early = new AbortController();
  const late = new AbortController();
  const two = mutex.lock("a", "Waiting", early.signal);
  const three = mutex.lock("a", "Waiting", late.signal);
  const four = mutex.lock("a", "x");
  early.abort();
  await expect(two).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  // The turn is given away and the signal aborts before anyone could take it.
  late.abort();
  one[Symbol.dispose]();
  await expect(three).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  (await four)[Symbol.dispose]();
  expect(mutex.isLocked("a")).toBe(false);
});
