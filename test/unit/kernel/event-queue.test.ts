import { describe, expect, it } from "vitest";
import { EventQueue } from "../../../src/kernel/event-queue.js";
import { settlesWithin } from "../../../src/util/async.js";

const MIB = 1024 * 1024;

async function collect<T>(queue: EventQueue<T>): Promise<T[]> {
  const events: T[] = [];
  for await (const event of queue) events.push(event);
  return events;
}

describe("an event queue", () => {
  it("makes its writer wait until the reader has caught up", async () => {
    const queue = new EventQueue<number>();
    queue.push(1, MIB);
    const room = queue.room();
    expect(await settlesWithin(room, 20)).toBe(false);
    const reading = collect(queue);
    await room;
    queue.end();
    expect(await reading).toEqual([1]);
  });

  it("drops nothing as long as its writer waits", async () => {
    const queue = new EventQueue<number>();
    queue.push(1, 16 * MIB);
    queue.push(2, 1);
    queue.end();
    expect(await collect(queue)).toEqual([1, 2]);
  });

  it("does not grow without end once its writer need not wait, and keeps what is to be kept", async () => {
    const queue = new EventQueue<number>();
    queue.release();
    for (let n = 0; n < 100; n++) queue.push(n, MIB);
    queue.push(100, MIB, { isKept: true });
    await queue.room();
    queue.end();
    expect(await collect(queue)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 100]);
  });

  it("makes its writer wait also when each event is next to nothing", async () => {
    const queue = new EventQueue<number>();
    for (let n = 0; n < 4_000; n++) queue.push(n, 0);
    expect(await settlesWithin(queue.room(), 20)).toBe(false);
    queue.end();
    expect(await collect(queue)).toHaveLength(4_000);
  });

  it("throws a failure after what is queued, or now in its place", async () => {
    const later = new EventQueue<number>();
    later.push(1, 1);
    later.fail(new Error("later"));
    const seen: number[] = [];
    const reading = (async () => {
      for await (const event of later) seen.push(event);
    })();
    await expect(reading).rejects.toThrow("later");
    expect(seen).toEqual([1]);

    const now = new EventQueue<number>();
    now.push(1, 1);
    now.fail(new Error("now"), { now: true });
    await expect(collect(now)).rejects.toThrow("now");
  });
});
