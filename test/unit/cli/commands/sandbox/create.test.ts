import { describe, expect, it } from "vitest";
import { MsbError } from "../../../../../src/errors.js";
import type { StartOpts } from "../../../../../src/sandbox/service.js";
import { sandboxCli } from "../../../../helpers/sandbox-cli.js";

/** The command asks for progress. */
const STREAMED = { onProgress: expect.any(Function) };

describe("create", () => {
  it("prints the name that the server made up", async () => {
    const { run, argsOf } = await sandboxCli();
    const { exitCode, stdout, stderr } = await run(["create", "python"]);
    expect(stdout).toMatch(/^sandbox-[0-9a-f]{8}\n$/);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(argsOf("create")).toMatchObject([
      [{ namespace: "default" }, { image: "python" }, STREAMED],
    ]);
  });

  it("hands every option on", async () => {
    const { run, argsOf } = await sandboxCli();
    const words =
      "create alpine:3 --name team/lab -m 2g --cpus 3 --disk 512m -e A=1=2 -e HERE -e GONE -w /srv -u nobody " +
      "--label a=b --label c= --idle-timeout 10m --max-lifetime 1h";
    const { stdout } = await run(words.split(" "), { env: { HERE: "there" } });
    expect(stdout).toBe("team/lab\n");
    expect(argsOf("create")).toMatchObject([
      [
        { namespace: "team", name: "lab" },
        {
          image: "alpine:3",
          memoryMiB: 2_048,
          cpus: 3,
          diskMiB: 512,
          env: ["A=1=2", "HERE=there"],
          workdir: "/srv",
          user: "nobody",
          labels: { a: "b", c: "" },
          idleTimeoutMs: 600_000,
          maxLifetimeMs: 3_600_000,
        },
        STREAMED,
      ],
    ]);
  });

  it("says nothing of what was not asked for", async () => {
    const { run, argsOf } = await sandboxCli();
    await run(["create", "python", "--name", "lab"]);
    expect(argsOf("create")[0]!.slice(0, 2)).toEqual([
      { namespace: "default", name: "lab" },
      { image: "python" },
    ]);
  });

  it("is one document with --json", async () => {
    const { run, sandboxes } = await sandboxCli();
    const { stdout } = await run(["create", "--json", "python", "--name", "lab"]);
    expect(JSON.parse(stdout)).toEqual(
      JSON.parse(JSON.stringify(sandboxes.get({ namespace: "default", name: "lab" }))),
    );
  });

  it("shows what the image does, in lines when nobody watches", async () => {
    const { run, sandboxes } = await sandboxCli();
    sandboxes.before.create = (async (_key: unknown, _spec: unknown, { onProgress }: StartOpts) => {
      const layer = { id: "1", label: "layer 1\u001b[2J", totalBytes: 30e6 };
      onProgress?.({ ...layer, state: "running", doneBytes: 0 });
      // Of what comes at once the newest is told.
      await new Promise((resolve) => setImmediate(resolve));
      onProgress?.({ ...layer, state: "done", doneBytes: 30e6 });
    }) as never;
    const { stdout, stderr } = await run(["create", "python", "--name", "lab"]);
    expect(stderr).toBe("layer 1\ufffd[2J: started, 30 MB\nlayer 1\ufffd[2J: done, 30 MB\n");
    expect(stdout).toBe("lab\n");
    expect((await run(["create", "python", "--name", "b", "--json"])).stderr).toBe("");
  });

  it("tells why it did not come to be", async () => {
    const { run, sandboxes } = await sandboxCli();
    sandboxes.add("default", "lab");
    const taken = await run(["create", "python", "--name", "lab"]);
    expect(taken.stderr).toContain("(MSB_ERR_SANDBOX_EXISTS)");
    expect([taken.exitCode, taken.stdout]).toEqual([73, ""]);
    sandboxes.before.create = () => {
      throw new MsbError("MSB_ERR_BOOT_FAILED", "It ended with:\n\u001b[31mpanic\u001b[0m");
    };
    const failed = await run(["create", "python"]);
    expect(failed.stderr).toBe(
      "msb-ts: It ended with:\n\ufffd[31mpanic\ufffd[0m\n(MSB_ERR_BOOT_FAILED)\n",
    );
    expect(failed.exitCode).toBe(125);
  });

  it.each([
    [["--name", "a b"], "A sandbox cannot be called"],
    [["-m", "lots"], "512m or 2g"],
    [["--cpus", "0"], "whole number"],
    [["-e", "=x"], "NAME=value"],
    [["--label", "x"], "name=value"],
    [["--idle-timeout", "soon"], "90s or 10m"],
    [["second"], "Too many arguments"],
  ])("refuses %j and asks no server", async (words, message) => {
    const { run, sandboxes } = await sandboxCli();
    const { exitCode, stdout, stderr } = await run(["create", "python", ...words]);
    expect(stderr).toContain(message);
    expect([exitCode, stdout]).toEqual([2, ""]);
    expect(sandboxes.calls).toEqual([]);
  });
});
