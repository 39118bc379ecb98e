import { once } from "node:events";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import type { InputStream } from "../../../src/cli/context.js";
import { LeaveKeys } from "../../../src/cli/leave-keys.js";

describe("keys to leave with", () => {
  it.each(["q", "Q", "\u0003", "\u0004", "xq"])("are %j", async (typed) => {
    const modes: boolean[] = [];
    const stdin: InputStream = Object.assign(new PassThrough(), {
      setRawMode: (isRaw: boolean) => modes.push(isRaw),
    });
    const keys = new LeaveKeys(stdin);
    // What flows may be there before a write returns.
    const type = async (text: string): Promise<void> => {
      const seen = once(stdin, "data");
      (stdin as PassThrough).write(text);
      await seen;
    };
    await type("x");
    expect(keys.left.aborted).toBe(false);
    await type(typed);
    expect(keys.left.aborted).toBe(true);
    keys[Symbol.dispose]();
    expect(modes).toEqual([true, false]);
    expect([stdin.listenerCount("data"), stdin.isPaused()]).toEqual([0, true]);
  });
});
