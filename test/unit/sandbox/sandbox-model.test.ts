import fc from "fast-check";
import { expect, test } from "vitest";
import { isMsbError } from "../../../src/errors.js";
import { NOTHING_USED, SandboxBench } from "../../helpers/sandbox-bench.js";

const NAMES = ["a", "A", "b"] as const;
const OPS = [
  "start",
  "startStored",
  "create",
  "stop",
  "remove",
  "forceRemove",
  "die",
  "check",
] as const;

type Op = (typeof OPS)[number];
type Model = Map<string, "running" | "stopped">;

const step = fc.record({
  op: fc.constantFrom(...OPS),
  name: fc.constantFrom(...NAMES),
  image: fc.constantFrom("python", "node"),
});

/** What a call answers and makes of the sandbox, one call after the other. */
function expected(model: Model, op: Op, name: string): string {
  const state = model.get(name);
  if (op === "start" || (op === "create" && state === undefined)) model.set(name, "running");
  if (op === "create") return state === undefined ? "ok" : "MSB_ERR_SANDBOX_EXISTS";
  if (op === "start") return "ok";
  if (op === "die") {
    if (state === "running") model.set(name, "stopped");
    return "ok";
  }
  if (op === "check") return "ok";
  if (state === undefined) return "MSB_ERR_SANDBOX_NOT_FOUND";
  if (op === "startStored") model.set(name, "running");
  if (op === "stop") model.set(name, "stopped");
  if (op === "remove" && state === "running") return "MSB_ERR_INVALID_STATE";
  if (op === "remove" || op === "forceRemove") model.delete(name);
  return "ok";
}

async function perform(
  bench: SandboxBench,
  manager: Awaited<ReturnType<SandboxBench["open"]>>,
  { op, name, image }: { op: Op; name: string; image: string },
): Promise<string> {
  const key = { namespace: "m", name };
  try {
    if (op === "start") await manager.start(key, { image, memoryMiB: 100 });
    if (op === "startStored") await manager.start(key, null);
    if (op === "create") await manager.create(key, { image, memoryMiB: 100 });
    if (op === "stop") await manager.stop(key);
    if (op === "remove") await manager.remove(key);
    if (op === "forceRemove") await manager.remove(key, { force: true });
    if (op === "die") {
      const info = manager.list({ namespace: "m" }).find((one) => one.name === name);
      bench.guests.machines.get(info?.vm?.id ?? "")?.vm.end();
    }
    return "ok";
  } catch (error) {
    if (!isMsbError(error)) throw error;
    return error.code;
  }
}

/** Between any two calls. */
function checkInvariants(
  bench: SandboxBench,
  manager: Awaited<ReturnType<SandboxBench["open"]>>,
): void {
  const running = manager.list({ states: ["running"] });
  const ids = running.flatMap(({ vm }) => vm?.id ?? []);
  expect([...bench.guests.machines.keys()]).toEqual(expect.arrayContaining(ids));
  expect(manager.status().counts.running).toBe(running.length);
}

test("calls one after the other do what a simple model says", { timeout: 120_000 }, async () => {
  const run = async (steps: { op: Op; name: string; image: string }[]): Promise<void> => {
    const bench = await SandboxBench.make();
    const manager = await bench.open();
    const model: Model = new Map();
    for (const one of steps) {
      expect([one, await perform(bench, manager, one)]).toEqual([
        one,
        expected(model, one.op, one.name),
      ]);
      await new Promise((resolve) => setImmediate(resolve));
      for (const [name, state] of model) {
        const key = { namespace: "m", name };
        // The end of a VM is taken note of a little later.
        if (one.op === "die" && manager.get(key).state !== state) await manager.stop(key);
        expect(manager.get(key).state).toBe(state);
      }
      expect(manager.list()).toHaveLength(model.size);
      expect(bench.guests.machines.size).toBe(
        [...model.values()].filter((s) => s === "running").length,
      );
      checkInvariants(bench, manager);
    }
    await manager.close({ sandboxes: "stop" });
    expect(manager.status().used).toEqual(NOTHING_USED);
    await bench.guests.stop();
  };
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 12 }), run), { numRuns: 25 });
});

test(
  "calls at the same time leave nothing behind, whatever their order",
  { timeout: 120_000 },
  async () => {
    const together = fc.record({ step, pauses: fc.integer({ min: 0, max: 3 }) });
    const run = async (
      steps: { step: { op: Op; name: string; image: string }; pauses: number }[],
    ): Promise<void> => {
      const bench = await SandboxBench.make();
      const manager = await bench.open();
      const calls: Promise<string>[] = [];
      for (const { step: one, pauses } of steps) {
        calls.push(perform(bench, manager, one));
        for (let i = 0; i < pauses; i++) await new Promise((resolve) => setTimeout(resolve, 1));
        checkInvariants(bench, manager);
      }
      const codes = new Set(await Promise.all(calls));
      const allowed = [
        "ok",
        "MSB_ERR_SANDBOX_EXISTS",
        "MSB_ERR_SANDBOX_NOT_FOUND",
        "MSB_ERR_INVALID_STATE",
        // A start that a stop, a removal or the death of its VM met.
        "MSB_ERR_ABORTED",
        "MSB_ERR_VM_EXITED",
        "MSB_ERR_AGENT_UNREACHABLE",
      ];
      expect(allowed).toEqual(expect.arrayContaining([...codes]));
      // Every sandbox answers still, and the last call wins.
      for (const name of NAMES) {
        const key = { namespace: "m", name };
        expect((await manager.start(key, { image: "python", memoryMiB: 100 })).state).toBe(
          "running",
        );
        expect((await manager.stop(key)).state).toBe("stopped");
      }
      expect(bench.guests.machines.size).toBe(0);
      expect(manager.status().used).toEqual(NOTHING_USED);
      await manager.close({ sandboxes: "stop" });
      // What is on disk is what is in memory.
      const again = await bench.open();
      expect(again.list().map(({ name, state }) => [name, state])).toEqual(
        manager.list().map(({ name, state }) => [name, state]),
      );
      await again.close({ sandboxes: "stop" });
      await bench.guests.stop();
    };
    await fc.assert(fc.asyncProperty(fc.array(together, { maxLength: 14 }), run), { numRuns: 25 });
  },
);
