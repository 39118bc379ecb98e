/** bench: what it does on a server, and what is left of it. */
import { describe, expect, it } from "vitest";
import { sandboxCli } from "../../../../helpers/sandbox-cli.js";

const QUICK = ["--rounds", "2", "--calls", "3", "--settle", "0s"];

describe("bench", () => {
  it("tells each figure beside its floor, and removes what it made", async () => {
    const { run, sandboxes, argsOf } = await sandboxCli();
    const { exitCode, stdout, stderr } = await run(["bench", "python", "-m", "512m", ...QUICK]);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^ +P50 +P95 +FLOOR +RATIO$/);
    expect(lines[2]).toMatch(/^command +[\d.]+ ms +[\d.]+ ms +request +[\d.]+$/);
    expect(lines).toHaveLength(8);
    expect(stderr).toContain("Start 2 of 2");
    expect(argsOf("create")).toHaveLength(3);
    expect(argsOf("create")[0]?.[1]).toMatchObject({ image: "python", memoryMiB: 512 });
    expect(argsOf("remove")).toHaveLength(3);
    expect(sandboxes.list()).toEqual([]);
  });

  it("is rows of numbers with --json", async () => {
    const { run } = await sandboxCli();
    const { stdout } = await run(["bench", "msb-ts/node", ...QUICK, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject([
      { what: "request", floor: null, ratio: null },
      { what: "command", floor: "request", ratio: expect.any(Number) },
      { what: "run of code", p50Ms: expect.any(Number), p95Ms: expect.any(Number) },
      { what: "first start, ready" },
      { what: "first start, code has answered" },
      { what: "later start, ready", floor: "first start" },
      { what: "later start, code has answered" },
    ]);
  });

  it("removes the sandbox in which code failed", async () => {
    const { run, sandboxes } = await sandboxCli();
    sandboxes.run = async function* () {
      const facts = { reason: "exception", durationMs: 1, stateLost: false } as const;
      yield { type: "end", status: "error", ...facts };
    };
    const { exitCode, stderr } = await run(["bench", ...QUICK]);
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain("What was measured (1) failed in the sandbox.");
    expect(sandboxes.list()).toEqual([]);
  });
});
