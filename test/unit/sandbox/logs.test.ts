import { appendFile, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CappedLog } from "../../../src/sandbox/capped-log.js";
import { ConsoleLog, newText } from "../../../src/sandbox/console-log.js";
import { EventLog } from "../../../src/sandbox/event-log.js";
import { FollowQueue } from "../../../src/sandbox/follow-queue.js";
import { ManualClock } from "../../helpers/manual-clock.js";
import { tempDir } from "../../helpers/temp-dir.js";

describe("CappedLog", () => {
  it("keeps the newest and no more than two files of its limit", async () => {
    const path = join(await tempDir(), "log");
    const log = new CappedLog(path, { maxBytes: 100 });
    for (let i = 100; i < 200; i++) await log.append(Buffer.from(`${i} 56789\n`));
    expect((await stat(path)).size).toBeLessThanOrEqual(100);
    expect((await stat(`${path}.1`)).size).toBeLessThanOrEqual(100);
    const lines = (await log.read()).toString().trimEnd().split("\n");
    expect(lines.at(-1)).toBe("199 56789");
    expect(lines.length).toBeGreaterThanOrEqual(10);
    await log.append(Buffer.alloc(1_000, "x"));
    expect((await stat(path)).size).toBe(100);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("gives followers each append once, from where the kept ends", async () => {
    const log = new CappedLog(join(await tempDir(), "log"));
    const seen: string[] = [];
    void log.append(Buffer.from("a"));
    const following = log.follow((bytes) => seen.push(bytes.toString()));
    void log.append(Buffer.from("b"));
    const { kept, stop } = await following;
    await log.append(Buffer.from("c"));
    stop();
    await log.append(Buffer.from("d"));
    expect([kept.toString(), ...seen]).toEqual(["a", "b", "c"]);
  });

  it("that cannot be written says so and goes on", async () => {
    const dir = await tempDir();
    const errors: unknown[] = [];
    const log = new CappedLog(dir, { onError: (error) => errors.push(error) });
    await log.append(Buffer.from("x"));
    expect(errors).toHaveLength(1);
  });
});

describe("EventLog", () => {
  const event = { at: "2026-01-01T00:00:00.000Z", type: "t", message: "m\u001b[0m" };

  it("numbers events on, also after a line that was cut short", async () => {
    const path = join(await tempDir(), "events");
    const first = new EventLog(path);
    const added = await Promise.all([first.add(event), first.add(event)]);
    expect(added.map(({ seq }) => seq)).toEqual([1, 2]);
    await appendFile(path, '{"seq":99,"at":');
    const second = new EventLog(path);
    expect(await second.add(event)).toMatchObject({ seq: 3, message: "m\ufffd[0m" });
    expect(await second.add(event)).toMatchObject({ seq: 4 });
    const { kept } = await second.follow(() => {});
    expect(kept.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
  });
});

describe("what is new of a console", () => {
  it("is what comes after what was seen, when the beginning was dropped meanwhile", () => {
    const limit = 500;
    const text = fc.array(fc.constantFrom("ab", "c\n", "xyz", "01", "é"), { maxLength: 80 });
    fc.assert(
      fc.property(fc.array(text, { maxLength: 12 }), (parts) => {
        let all = "";
        let seen = "";
        let taken = "";
        for (const [i, part] of parts.entries()) {
          // A number in each makes no two places look the same.
          all += `<${i}>${part.join("")}`.slice(0, limit / 2);
          const now = all.slice(-limit);
          taken += newText(seen, now);
          seen = now;
        }
        expect(taken).toBe(all);
      }),
    );
  });

  it("is marked when more was written than a VM keeps", () => {
    expect(newText("a".repeat(100), "b".repeat(100))).toMatch(/was lost here\]\nb{100}$/);
    expect(newText("seen", "")).toBe("");
  });

  it("does not keep the host busy when everything looks the same", () => {
    const before = `${"a".repeat(65_000)}b`;
    const beganMs = performance.now();
    newText(before, `${"a".repeat(65_000)}c`);
    expect(performance.now() - beganMs).toBeLessThan(500);
  });

  class Console {
    text = "";
    #listener: (bytes: Buffer) => void = () => {};

    consoleTail = (): string => this.text;

    onConsole = (listener: (bytes: Buffer) => void): (() => void) => {
      this.#listener = listener;
      return () => (this.#listener = () => {});
    };

    print(text: string): void {
      this.text += text;
      this.#listener(Buffer.from(text));
    }
  }

  it("is kept as it is and shown safely, with one look for much at once", async () => {
    const path = join(await tempDir(), "console");
    const clock = new ManualClock();
    const log = new ConsoleLog(path);
    const vm = new Console();
    vm.print("one\n");
    const end = log.watch(vm, clock);
    vm.print("\u001b]0;x\u0007");
    vm.print("two\n");
    expect(clock.timers).toBe(1);
    clock.advance(100);
    vm.print("three");
    await end();
    expect(clock.timers).toBe(0);
    expect(await readFile(path, "utf8")).toBe(vm.text);
    const { kept } = await log.follow(() => {});
    expect(kept).toBe("one\n\ufffd]0;x\ufffdtwo\nthree");
  });

  it("is not kept twice when a VM that is taken over tells it again, in pieces", async () => {
    const path = join(await tempDir(), "console");
    const clock = new ManualClock();
    const before = Array.from({ length: 200 }, (_, i) => `line ${i}\n`).join("");
    const vm = new Console();
    vm.print(before);
    await new ConsoleLog(path).watch(vm, clock)();

    const log = new ConsoleLog(path);
    await log.resume();
    const again = new Console();
    const end = log.watch(again, clock);
    for (const piece of [before.slice(0, 700), before.slice(700), "new\n"]) {
      again.print(piece);
      clock.advance(100);
    }
    again.print("last");
    await end();
    expect(await readFile(path, "utf8")).toBe(`${before}new\nlast`);
  });
});

describe("FollowQueue", () => {
  const queueOf = (maxItems: number, maxSize: number): FollowQueue<string> =>
    new FollowQueue({
      maxItems,
      maxSize,
      sizeOf: (item) => item.length,
      marker: (dropped) => `-${dropped}`,
    });

  it("has room for few large entries, and again when they were read", async () => {
    const queue = queueOf(100, 10);
    for (const item of ["123456", "1234", "x"]) queue.push(item);
    const reader = queue[Symbol.asyncIterator]();
    const next = async () => (await reader.next()).value as string;
    expect([await next(), await next(), await next()]).toEqual(["123456", "1234", "-1"]);
    queue.push("0123456789");
    queue.end();
    expect(await next()).toBe("0123456789");
    expect((await reader.next()).done).toBe(true);
  });

  it("leaves out what a slow reader has no room for, and says how much", async () => {
    const queue = queueOf(2, 100);
    for (const item of ["a", "b", "c", "d"]) queue.push(item);
    const reader = queue[Symbol.asyncIterator]();
    const next = async () => (await reader.next()).value as string;
    expect([await next(), await next(), await next()]).toEqual(["a", "b", "-2"]);
    const waiting = next();
    queue.push("e");
    expect(await waiting).toBe("e");
    queue.push("f");
    queue.end();
    queue.push("g");
    expect(await next()).toBe("f");
    expect((await reader.next()).done).toBe(true);
  });
});
