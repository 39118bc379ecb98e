import { describe, expect, it } from "vitest";
import { deferred } from "../../../src/util/async.js";
import { WorkSet } from "../../../src/util/work-set.js";

describe("work that is under way", () => {
  it("is waited for, however it ends, and handed back", async () => {
    const work = new WorkSet();
    const [one, other] = [deferred<number>(), deferred<number>()];
    const results = Promise.allSettled([work.add(one.promise), work.add(other.promise)]);
    let isSettled = false;
    const settled = work.settled().then(() => (isSettled = true));
    one.resolve(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(isSettled).toBe(false);
    other.reject(new Error("it broke"));
    await settled;
    expect(await results).toMatchObject([{ value: 1 }, { reason: { message: "it broke" } }]);
    await work.settled();
  });
});
