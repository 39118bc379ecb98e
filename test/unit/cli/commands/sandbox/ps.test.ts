import { describe, expect, it } from "vitest";
import { sandboxCli } from "../../../../helpers/sandbox-cli.js";
import { fakeSandbox } from "../../../../helpers/fake-sandboxes.js";

async function someSandboxes() {
  const test = await sandboxCli();
  const { spec } = fakeSandbox({ namespace: "default", name: "lab" });
  test.sandboxes.add("default", "lab", { spec: { ...spec, labels: { job: "42" } } });
  test.sandboxes.add("team", "build", {
    spec: { ...spec, image: `registry.example.com/${"x".repeat(80)}\u001b[2J` },
    startedAt: "2026-01-21T21:00:00.000Z",
  });
  test.sandboxes.add("default", "old", { state: "failed", vm: null });
  return test;
}

describe("ps", () => {
  it("lists those that run", async () => {
    const { run } = await someSandboxes();
    const { exitCode, stdout } = await run(["ps"]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^NAME +IMAGE +STATE +UP +MEMORY +CPUS +DRIVER$/);
    expect(lines[1]).toMatch(/^lab +python +running +3 weeks +512 MiB +1 +qemu$/);
    expect(lines[2]).toMatch(/^team\/build +registry\.example\.com\/x{38}… +running +3 hours /);
    expect([lines.length, exitCode]).toEqual([3, 0]);
  });

  it("lists others with --all and by state", async () => {
    const { run } = await someSandboxes();
    expect((await run(["ps", "--all"])).stdout).toMatch(/^old +python +failed +- +512 MiB +1 +-$/m);
    expect((await run(["ps", "-q", "-f", "state=failed", "-f", "state=stopped"])).stdout).toBe(
      "old\n",
    );
  });

  it.each([
    [["label=job=42"], "lab\n"],
    [["label=job=42", "label=x=y"], ""],
    [["namespace=team"], "team/build\n"],
    [["namespace=team", "state=failed"], ""],
  ])("filters by %j", async (conditions, names) => {
    const { run } = await someSandboxes();
    const words = conditions.flatMap((condition) => ["--filter", condition]);
    expect((await run(["ps", "-q", ...words])).stdout).toBe(names);
  });

  it("is one document with --json, also of nothing", async () => {
    const { run } = await someSandboxes();
    expect(JSON.parse((await run(["ps", "--json"])).stdout)).toMatchObject([
      { namespace: "default", name: "lab", vm: { driver: "qemu" } },
      { namespace: "team", name: "build" },
    ]);
    expect(JSON.parse((await run(["ps", "--json", "-f", "state=creating"])).stdout)).toEqual([]);
  });

  it("lists more than one page", async () => {
    const { run, sandboxes } = await sandboxCli();
    for (let index = 0; index < 2_100; index++) sandboxes.add("default", `box-${index}`);
    const { stdout } = await run(["ps", "-q"]);
    expect(stdout.trimEnd().split("\n")).toHaveLength(2_100);
  });

  it.each(["state", "state=gone", "label=x", "namespace=*", "name=x", "=", ""])(
    "refuses to filter by %j",
    async (condition) => {
      const { run } = await sandboxCli();
      const { exitCode, stderr } = await run(["ps", "--filter", condition]);
      expect(stderr).toMatch(/--filter cannot be .*state=STATE.*\nTry: msb-ts ps --help\n$/);
      expect(exitCode).toBe(2);
    },
  );

  it("refuses two namespaces", async () => {
    const { run } = await sandboxCli();
    const words = ["ps", "-f", "namespace=a", "-f", "namespace=b"];
    expect((await run(words)).stderr).toContain("two namespaces");
  });
});
