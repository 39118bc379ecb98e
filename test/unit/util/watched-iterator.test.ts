import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { deferred } from "../../../src/util/async.js";
import { watchedIterator } from "../../../src/util/watched-iterator.js";

const never = (): AbortSignal => new AbortController().signal;

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

describe("watchedIterator", () => {
  it("gives what its source gives, and null while that keeps silent, losing nothing", async () => {
    async function* source(): AsyncGenerator<number> {
      yield 1;
      await new Promise((resolve) => setTimeout(resolve, 90));
      yield 2;
    }
    const items = await all(watchedIterator(source(), { idleMs: 30, signal: never() }));
    expect(items.filter((item) => item !== null)).toEqual([1, 2]);
    expect(items).toContain(null);
  });

  it("keeps nothing of what was read: a stream may be long", async () => {
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    const read: WeakRef<object>[] = [];
    let kept = -1;
    async function* source(): AsyncGenerator<object> {
      for (let count = 0; count < 100; count++) yield {};
      await new Promise((resolve) => setImmediate(resolve));
      collectGarbage();
      kept = read.filter((item) => item.deref() !== undefined).length;
    }
    for await (const item of watchedIterator(source(), { idleMs: 60_000, signal: never() })) {
      read.push(new WeakRef(item!));
    }
    expect(read).toHaveLength(100);
    expect(kept).toBeLessThan(10);
  });

  it("throws what its source throws, and does not return it then", async () => {
    let returned = 0;
    const source: AsyncIterator<number> = {
      next: () => Promise.reject(new Error("broken")),
      return: async () => ({ done: true, value: (returned += 1) }),
    };
    await expect(all(watchedIterator(source, { idleMs: 1000, signal: never() }))).rejects.toThrow(
      "broken",
    );
    expect(returned).toBe(0);
  });

  it("ends at once when its signal aborts, however long the source waits, and lets go of it", async () => {
    const waits = deferred<IteratorResult<number>>();
    let returned = 0;
    const source: AsyncIterator<number> = {
      next: () => waits.promise,
      return: async () => ({ done: true, value: (returned += 1) }),
    };
    const abort = new AbortController();
    const items = all(watchedIterator(source, { idleMs: 10_000, signal: abort.signal }));
    abort.abort();
    expect(await items).toEqual([]);
    expect(returned).toBe(1);
    // Too late to matter, and not to be heard of as an unhandled rejection.
    waits.reject(new Error("late"));
  });

  it("hands over a source that is to go on", async () => {
    const abort = new AbortController();
    const given = deferred<AsyncIterator<number>>();
    async function* source(): AsyncGenerator<number> {
      yield 1;
      yield 2;
    }
    const watched = watchedIterator(source(), {
      idleMs: 1000,
      signal: abort.signal,
      onAbandoned: given.resolve,
    });
    expect((await watched.next()).value).toBe(1);
    abort.abort();
    expect((await watched.next()).done).toBe(true);
    expect((await (await given.promise).next()).value).toBe(2);
  });
});
