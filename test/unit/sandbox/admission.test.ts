import fc from "fast-check";
import { expect, test } from "vitest";
import { Admission } from "../../../src/sandbox/admission.js";

const BUDGET = { sandboxes: 2, memoryMiB: 1_000, vcpus: 3 };

test("what is reserved is given back once, and what runs already is never refused", () => {
  const admission = new Admission({ budget: BUDGET, concurrentBoots: 1 });
  const one = admission.reserve({ memoryMiB: 600, vcpus: 1 });
  expect(() => admission.reserve({ memoryMiB: 500, vcpus: 1 })).toThrow(/memoryBudgetMiB/);
  expect(() => admission.reserve({ memoryMiB: 1, vcpus: 3 })).toThrow(/vcpuBudget/);
  const two = admission.reserve({ memoryMiB: 400, vcpus: 2 });
  expect(() => admission.reserve({ memoryMiB: 1, vcpus: 1 })).toThrow(/maxSandboxes/);
  const taken = admission.take({ memoryMiB: 5_000, vcpus: 9 });
  expect(admission.used).toEqual({ sandboxes: 3, memoryMiB: 6_000, vcpus: 12 });
  for (const held of [one, one, two, taken]) held[Symbol.dispose]();
  expect(admission.used).toEqual({ sandboxes: 0, memoryMiB: 0, vcpus: 0 });
});

test("what is larger than the whole budget is no matter of time", () => {
  const admission = new Admission({ budget: BUDGET, concurrentBoots: 1 });
  expect(() => admission.reserve({ memoryMiB: 1_001, vcpus: 1 })).toThrow(
    expect.objectContaining({
      code: "MSB_ERR_INVALID_ARGUMENT",
      details: { limit: "memoryMiB", option: "memoryBudgetMiB", budget: 1_000, wanted: 1_001 },
    }),
  );
  expect(admission.used).toEqual({ sandboxes: 0, memoryMiB: 0, vcpus: 0 });
});

test("boots take turns, and who gives up leaves the queue", async () => {
  const admission = new Admission({ budget: BUDGET, concurrentBoots: 1 });
  const { signal } = new AbortController();
  const first = await admission.bootTurn(signal);
  const abort = new AbortController();
  const second = admission.bootTurn(abort.signal);
  const third = admission.bootTurn(signal);
  abort.abort();
  await expect(second).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  (await third)[Symbol.dispose]();
  (await admission.bootTurn(signal))[Symbol.dispose]();
});

test("whatever is reserved, taken, refused and given back: what is used is the sum of what is held", () => {
  const LIMITS = ["sandboxes", "memoryMiB", "vcpus"] as const;
  const amount = fc.record({ memoryMiB: fc.nat(600), vcpus: fc.nat(3) });
  const step = fc.tuple(fc.constantFrom("reserve", "take", "end", "end again"), amount, fc.nat());
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const admission = new Admission({ budget: BUDGET, concurrentBoots: 1 });
      const held: { readonly of: typeof BUDGET; readonly end: Disposable }[] = [];
      const ended: Disposable[] = [];
      const sum = (key: keyof typeof BUDGET): number =>
        held.reduce((total, { of }) => total + of[key], 0);
      for (const [what, wanted, pick] of steps) {
        const of = { sandboxes: 1, ...wanted };
        const fits = LIMITS.every((key) => sum(key) + of[key] <= BUDGET[key]);
        let isRefused = false;
        if (what === "take") held.push({ of, end: admission.take(wanted) });
        else if (what === "reserve") {
          try {
            held.push({ of, end: admission.reserve(wanted) });
          } catch {
            isRefused = true;
          }
        } else {
          const [one] = what === "end" ? held.splice(pick % (held.length + 1), 1) : [];
          const end = one?.end ?? ended[pick % (ended.length + 1)];
          if (end !== undefined) ended.push(end);
          end?.[Symbol.dispose]();
        }
        expect(isRefused).toBe(what === "reserve" && !fits);
        const used = Object.fromEntries(LIMITS.map((key) => [key, sum(key)]));
        expect(admission.used).toEqual(used);
      }
    }),
  );
});
