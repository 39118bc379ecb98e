/** metrics and top: what sandboxes use. */
import type { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { runCli } from "../../../../../src/cli/run.js";
import { stopReason } from "../../../../../src/cli/error-report.js";
import { MsbError } from "../../../../../src/errors.js";
import type { SandboxKey } from "../../../../../src/sandbox/service.js";
import { testContext } from "../../../../helpers/cli.js";
import { sandboxCli } from "../../../../helpers/sandbox-cli.js";

const guest = {
  uptimeMs: 7_300_000,
  cpuPercent: 3,
  memoryUsedMiB: 60,
  memoryTotalMiB: 500,
  diskUsedBytes: 1,
  diskTotalBytes: 2,
  processes: 12,
  load1: 0.256,
};

async function twoSandboxes() {
  const test = await sandboxCli();
  test.sandboxes.add("default", "lab");
  test.sandboxes.add("team", "build");
  test.sandboxes.add("default", "old", { state: "stopped", vm: null });
  return test;
}

describe("metrics", () => {
  it("shows one look at those that are named", async () => {
    const { run, sandboxes } = await twoSandboxes();
    sandboxes.metricsOf = { guest };
    const { exitCode, stdout } = await run(["metrics", "lab", "team/build"]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^NAME +CPU +MEMORY +DISK +GUEST MEMORY +PROCESSES +LOAD +UP$/);
    expect(lines[1]).toMatch(
      /^lab +12\.5 % +124 MB +10\.5 MB +62\.9 MB of 524 MB +12 +0\.26 +2 hours$/,
    );
    expect(lines[2]).toMatch(/^team\/build /);
    expect(exitCode).toBe(0);
  });

  it("has dashes for what does not run, and for a guest that does not say", async () => {
    const { run } = await twoSandboxes();
    const { stdout } = await run(["metrics", "old", "lab"]);
    expect(stdout).toMatch(/^old +- +- +- +- +- +- +-$/m);
    expect(stdout).toMatch(/^lab +12\.5 % +124 MB +10\.5 MB +- +- +- +-$/m);
  });

  it("is one document with --json, and goes on after a name that fails", async () => {
    const { run } = await twoSandboxes();
    const { exitCode, stdout, stderr } = await run(["metrics", "--json", "nobody", "lab"]);
    expect(JSON.parse(stdout)).toMatchObject([{ name: "lab", running: true, guest: null }]);
    expect(JSON.parse(stderr).error.code).toBe("MSB_ERR_SANDBOX_NOT_FOUND");
    expect(exitCode).toBe(66);
    expect((await run(["metrics", "nobody"])).stdout).toBe("");
  });
});

describe("top", () => {
  const TERMINALS = ["stdin", "stdout", "stderr"] as const;

  it("is one table of all that run where nobody watches", async () => {
    const { run } = await twoSandboxes();
    for (const opts of [{}, { terminals: TERMINALS, env: { CI: "1" } }]) {
      const { exitCode, stdout } = await run(["top"], opts);
      expect(
        stdout
          .trimEnd()
          .split("\n")
          .map((line) => line.split(" ")[0]),
      ).toEqual(["NAME", "lab", "team/build"]);
      expect(exitCode).toBe(0);
    }
  });

  it("is one document with --json", async () => {
    const { run } = await twoSandboxes();
    const { stdout } = await run(["top", "--json"], { terminals: TERMINALS });
    expect(JSON.parse(stdout)).toMatchObject([{ name: "lab" }, { name: "build" }]);
  });

  it("leaves out what goes while it looks, and fails when all fails", async () => {
    const { run, sandboxes } = await twoSandboxes();
    sandboxes.before.metrics = ({ name }: SandboxKey) => {
      if (name === "lab") throw new MsbError("MSB_ERR_SANDBOX_NOT_FOUND", "gone");
    };
    expect(JSON.parse((await run(["top", "--json"])).stdout)).toMatchObject([{ name: "build" }]);
    sandboxes.before.metrics = () => {
      throw new MsbError("MSB_ERR_AGENT_UNREACHABLE", "no word");
    };
    expect((await run(["top"])).stderr).toContain("(MSB_ERR_AGENT_UNREACHABLE)");
  });

  /** On a terminal, with what the keys do. */
  async function watching(signal?: AbortSignal) {
    const test = await twoSandboxes();
    const { ctx, stdout, stderr } = testContext({
      env: { ...test.env },
      terminals: TERMINALS,
      ...(signal === undefined ? {} : { signal }),
    });
    const running = runCli(["top"], ctx);
    await expect.poll(() => stdout.text()).toContain("team/build");
    return { ...test, stdout, stderr, running, stdin: ctx.stdin as PassThrough };
  }

  it("on a terminal draws again until q, and leaves the screen as it was", async () => {
    const { running, stdout, stdin, sandboxes } = await watching();
    expect(
      stdout.text().startsWith("\u001b[?1049h\u001b[?25l\u001b[H2 sandboxes   00:00:00 UTC"),
    ).toBe(true);
    sandboxes.add("default", "new");
    await expect
      .poll(() => stdout.text().split("\u001b[H3 sandboxes").at(1) ?? "")
      .toContain("new ");
    stdin.write("q");
    expect(await running).toBe(0);
    expect(stdout.text().endsWith("\u001b[?25h\u001b[?1049l")).toBe(true);
  });

  it("on a terminal says what is wrong and goes on", async () => {
    const { running, stdout, stdin, sandboxes } = await watching();
    let isBroken = true;
    sandboxes.before.metrics = () => {
      if (isBroken) throw new MsbError("MSB_ERR_AGENT_UNREACHABLE", "no\u001b[2J word");
    };
    await expect.poll(() => stdout.text()).toContain("no\ufffd[2J word");
    isBroken = false;
    const seen = stdout.text().length;
    await expect.poll(() => stdout.text().slice(seen)).toContain("2 sandboxes");
    stdin.write("\u0003");
    expect(await running).toBe(0);
  });

  it("on a terminal ends when it is stopped, and leaves the screen as it was", async () => {
    const stop = new AbortController();
    const { running, stdout, stderr } = await watching(stop.signal);
    stop.abort(stopReason("SIGTERM"));
    expect(await running).toBe(143);
    expect(stdout.text().endsWith("\u001b[?1049l")).toBe(true);
    expect(stderr.text()).toContain("Stopped by SIGTERM");
  });
});
