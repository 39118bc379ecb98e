import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Semaphore } from "../../../src/util/semaphore.js";

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a semaphore", () => {
  it("lets so many in, and others in the order of asking", async () => {
    const semaphore = new Semaphore(2);
    const order: number[] = [];
    const ask = (n: number): Promise<Disposable> =>
      semaphore.acquire("Waiting").then((turn) => (order.push(n), turn));
    const turns = [1, 2, 3, 4].map(ask);
    await settle();
    expect(order).toEqual([1, 2]);
    (await turns[0]!)[Symbol.dispose]();
    await settle();
    expect(order).toEqual([1, 2, 3]);
    // A second end of the same turn is none.
    (await turns[0]!)[Symbol.dispose]();
    await settle();
    expect(order).toEqual([1, 2, 3]);
    (await turns[1]!)[Symbol.dispose]();
    await settle();
    expect(order).toEqual([1, 2, 3, 4]);
  });

  it("says what was waited for when the signal aborts", async () => {
    const semaphore = new Semaphore(1);
    using _turn = await semaphore.acquire("Holding");
    const abort = new AbortController();
    const waiting = semaphore.acquire("Waiting for a turn", abort.signal);
    abort.abort();
    await expect(waiting).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
      message: expect.stringContaining("Waiting for a turn"),
    });
  });

  it("passes a turn on that comes in the moment its waiter gives up", async () => {
    const semaphore = new Semaphore(1);
    const held = await semaphore.acquire("Holding");
    const abort = new AbortController();
    const first = semaphore.acquire("First", abort.signal);
    const second = semaphore.acquire("Second");
    abort.abort();
    held[Symbol.dispose]();
    await expect(first).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
    (await second)[Symbol.dispose]();
    (await semaphore.acquire("Third"))[Symbol.dispose]();
  });

  it("never lets in too many and loses no turn, whatever is asked, given up and ended", async () => {
    const step = fc.constantFrom("ask", "end", "give up", "wait");
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.tuple(step, fc.nat()), { maxLength: 40 }),
        async (permits, steps) => {
          const semaphore = new Semaphore(permits);
          const held: Disposable[] = [];
          const aborts: AbortController[] = [];
          const asked: Promise<void>[] = [];
          for (const [what, pick] of steps) {
            if (what === "ask") {
              const abort = new AbortController();
              aborts.push(abort);
              const waiting = semaphore.acquire("Waiting", abort.signal);
              asked.push(
                waiting.then(
                  (turn) => void held.push(turn),
                  () => {},
                ),
              );
            } else if (what === "end")
              held.splice(pick % (held.length + 1), 1)[0]?.[Symbol.dispose]();
            else if (what === "give up") aborts[pick % (aborts.length + 1)]?.abort();
            else await settle();
            expect(held.length).toBeLessThanOrEqual(permits);
          }
          for (const abort of aborts) abort.abort();
          await Promise.all(asked);
          for (const turn of held) turn[Symbol.dispose]();
          // All of it is free again.
          const all = Array.from({ length: permits }, () => semaphore.acquire("Again"));
          expect(await Promise.all(all)).toHaveLength(permits);
        },
      ),
    );
  });
});
