import { describe, expect, it } from "vitest";
import { runSetup, type SetupTools } from "../../../../src/cli/commands/setup.js";
import { QuietExit } from "../../../../src/cli/exit.js";
import type { SystemTool } from "../../../../src/runtime/system-packages.js";
import { type CliOpts, testContext } from "../../../helpers/cli.js";

function machine(missing: readonly SystemTool[], over: Partial<SetupTools> = {}) {
  const installs: (readonly SystemTool[])[] = [];
  let left = missing;
  const tools: SetupTools = {
    setup: async () => ({
      libkrun: { path: "/lib/libkrun.so", source: "setup" },
      kernel: { path: "/k", format: "elf", version: "6.12", id: "x", source: "setup" },
      missingTools: left,
    }),
    findMissing: async () => left,
    findInstaller: async () => "root",
    install: async (wanted) => {
      installs.push(wanted);
      left = [];
    },
    commandFor: (wanted) => `install ${wanted.join(" ")}`,
    ...over,
  };
  return { tools, installs };
}

async function setup(tools: SetupTools, opts: { yes?: true; json?: true } = {}, cli: CliOpts = {}) {
  const { ctx, stdout, stderr } = testContext(cli);
  const exitCode = await runSetup(ctx, opts, tools).then(
    () => 0,
    (error: unknown) => {
      if (error instanceof QuietExit) return error.exitCode;
      throw error;
    },
  );
  return { exitCode, stdout: stdout.text(), stderr: stderr.text() };
}

const ASKED: CliOpts = { terminals: ["stdin", "stderr"] };

describe("setup", () => {
  it("installs nothing where nothing is missing", async () => {
    const { tools, installs } = machine([]);
    const { exitCode, stdout } = await setup(tools);
    expect(stdout).toBe(
      "libkrun: /lib/libkrun.so\nGuest kernel: 6.12, /k\nSystem packages: all there\n",
    );
    expect([exitCode, installs]).toEqual([0, []]);
  });

  it("asks, and does what is answered", async () => {
    const yes = machine(["qemu"]);
    // An answer must come on a stream that is a terminal, too.
    const agreed = await setup(yes.tools, {}, { ...ASKED, stdin: "y\n" });
    expect([agreed.exitCode, yes.installs]).toEqual([0, [["qemu"]]]);
    expect(agreed.stderr).toContain("Run install qemu? [y/N]");
    const no = machine(["qemu"]);
    const refused = await setup(no.tools, {}, { ...ASKED, stdin: "n\n" });
    expect([refused.exitCode, no.installs]).toEqual([69, []]);
    expect(refused.stdout).toContain("Run: install qemu\n");
  });

  it("with nobody to ask installs for root, and tells others the command", async () => {
    const root = machine(["qemu"]);
    expect((await setup(root.tools)).exitCode).toBe(0);
    expect(root.installs).toEqual([["qemu"]]);
    for (const installer of ["sudo", undefined] as const) {
      const other = machine(["mkfs.ext4"], { findInstaller: async () => installer });
      const { exitCode, stdout } = await setup(other.tools);
      expect([exitCode, other.installs]).toEqual([69, []]);
      expect(stdout).toContain("Run: install mkfs.ext4\n");
    }
  });

  it("does not ask with --yes, and is one document with --json", async () => {
    const { tools, installs } = machine(["qemu"], { findInstaller: async () => "sudo" });
    const { exitCode, stdout } = await setup(tools, { yes: true, json: true }, ASKED);
    expect(JSON.parse(stdout)).toEqual({
      libkrun: { path: "/lib/libkrun.so", source: "setup" },
      kernel: { path: "/k", version: "6.12", source: "setup" },
      missing: [],
      command: null,
    });
    expect([exitCode, installs]).toEqual([0, [["qemu"]]]);
  });

  it("fails when what it installed cannot be found", async () => {
    const { tools } = machine(["qemu"], { install: async () => {} });
    await expect(setup(tools, { yes: true })).rejects.toMatchObject({
      code: "MSB_ERR_TOOL_MISSING",
      details: { command: "install qemu" },
    });
  });
});
