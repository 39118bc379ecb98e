/** start, stop and rm: commands for several sandboxes. */
import { describe, expect, it } from "vitest";
import { stopReason } from "../../../../../src/cli/error-report.js";
import { sandboxCli } from "../../../../helpers/sandbox-cli.js";

/** Two that run, of two namespaces, and one that was stopped. */
async function threeSandboxes() {
  const test = await sandboxCli();
  test.sandboxes.add("default", "one");
  test.sandboxes.add("team", "two");
  test.sandboxes.add("default", "old", { state: "stopped", vm: null });
  return test;
}

describe("start", () => {
  it("starts what is stored and prints names", async () => {
    const { run, argsOf } = await threeSandboxes();
    expect(await run(["start", "old", "team/two"])).toMatchObject({
      exitCode: 0,
      stdout: "old\nteam/two\n",
      stderr: "",
    });
    expect(argsOf("start")).toMatchObject([
      [{ namespace: "default", name: "old" }, null, { onProgress: expect.any(Function) }],
      [{ namespace: "team", name: "two" }, null, { onProgress: expect.any(Function) }],
    ]);
  });

  it("goes on after a name that fails, and has the exit code of the first", async () => {
    const { run } = await threeSandboxes();
    const { exitCode, stdout, stderr } = await run(["start", "nobody", "a/b/c", "old"]);
    expect(stdout).toBe("old\n");
    expect(stderr.trimEnd().split("\n")).toEqual([
      "msb-ts: There is no sandbox default/nobody. (MSB_ERR_SANDBOX_NOT_FOUND)",
      expect.stringContaining("(MSB_ERR_INVALID_ARGUMENT)"),
    ]);
    expect(exitCode).toBe(66);
  });

  it("is one document with --json, and none when nothing was done", async () => {
    const { run } = await threeSandboxes();
    const some = await run(["start", "--json", "nobody", "old"]);
    expect(JSON.parse(some.stdout)).toMatchObject([{ name: "old", state: "running" }]);
    expect(JSON.parse(some.stderr).error.code).toBe("MSB_ERR_SANDBOX_NOT_FOUND");
    expect((await run(["start", "--json", "nobody"])).stdout).toBe("");
  });
});

describe("stop", () => {
  it("stops those that are named, and says how long they may take", async () => {
    const { run, argsOf } = await threeSandboxes();
    expect(await run(["stop", "one", "old"])).toMatchObject({ exitCode: 0, stdout: "one\nold\n" });
    await run(["stop", "team/two", "--grace", "1.5s"]);
    expect(argsOf("stop")).toEqual([
      [{ namespace: "default", name: "one" }, {}],
      [{ namespace: "default", name: "old" }, {}],
      [{ namespace: "team", name: "two" }, { graceMs: 1_500 }],
    ]);
  });

  it("stops all that run with --all, of all namespaces", async () => {
    const { run } = await threeSandboxes();
    expect((await run(["stop", "--all"])).stdout).toBe("one\nteam/two\n");
    const json = await run(["stop", "--all", "--json"]);
    expect([json.exitCode, JSON.parse(json.stdout)]).toEqual([0, []]);
  });

  it("ends with the name at which it was stopped itself", async () => {
    const { run, sandboxes, argsOf } = await threeSandboxes();
    const stop = new AbortController();
    sandboxes.before.stop = () => stop.abort(stopReason("SIGINT"));
    const { exitCode, stderr } = await run(["stop", "--all"], { signal: stop.signal });
    expect(stderr).toBe("msb-ts: Stopped by SIGINT. (MSB_ERR_ABORTED)\n");
    expect(exitCode).toBe(130);
    expect(argsOf("stop")).toHaveLength(1);
  });
});

describe("rm", () => {
  it("removes what does not run, and what runs with --force", async () => {
    const { run, sandboxes } = await threeSandboxes();
    const first = await run(["rm", "one", "old"]);
    expect(first).toMatchObject({ exitCode: 75, stdout: "old\n" });
    expect(first.stderr).toContain("(MSB_ERR_INVALID_STATE)");
    expect((await run(["remove", "-f", "one"])).stdout).toBe("one\n");
    expect([...sandboxes.stored.keys()]).toEqual(["team/two"]);
  });

  it("--all is all that do not run, with --force all", async () => {
    const { run, sandboxes } = await threeSandboxes();
    expect((await run(["rm", "--all"])).stdout).toBe("old\n");
    const { stdout } = await run(["rm", "--all", "--force", "--json"]);
    expect(JSON.parse(stdout)).toEqual([
      { namespace: "default", name: "one" },
      { namespace: "team", name: "two" },
    ]);
    expect(sandboxes.stored.size).toBe(0);
  });
});

describe.each(["stop", "rm"])("%s", (verb) => {
  it("wants names or --all, and not both", async () => {
    const { run, sandboxes } = await threeSandboxes();
    expect(await run([verb])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(new RegExp(`or --all\\..*\\nTry: msb-ts ${verb} --help\\n$`)),
    });
    expect((await run([verb, "one", "--all"])).stderr).toContain("do not go together");
    expect(sandboxes.calls).toEqual([]);
  });
});
