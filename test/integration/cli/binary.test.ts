import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { builtCli } from "../../helpers/built-cli.js";
import { type ProgramOpts, runInTerminal, runProgram } from "../../helpers/run-program.js";
import { tempDir } from "../../helpers/temp-dir.js";

const msb = (args: readonly string[], opts?: ProgramOpts) =>
  runProgram([process.execPath, builtCli(), ...args], opts);

const JSON_TYPE = { "content-type": "application/json" };
const IMAGE_COMMANDS = ["pull", "ls", "inspect", "rm", "prune", "load", "save", "tag", "build"];

describe("the program", () => {
  it("is executable as it was built, and tells its version", async () => {
    const { version } = JSON.parse(
      readFileSync(new URL("../../../package.json", import.meta.url), "utf8"),
    ) as { version: string };
    expect(statSync(builtCli()).mode & 0o111).toBe(0o111);
    const { exitCode, stdout, stderr } = await runProgram([builtCli(), "--version"]);
    expect({ exitCode, stdout, stderr }).toEqual({
      exitCode: 0,
      stdout: `${version}\n`,
      stderr: "",
    });
  });

  it.each([[], ["image"], ...IMAGE_COMMANDS.map((name) => ["image", name])])(
    "shows help: %s %s",
    async (...words) => {
      const { exitCode, stdout, stderr } = await msb([...words, "--help"]);
      expect(stdout).toMatch(/^Usage: msb-ts/);
      expect(stdout).toContain("Examples:");
      expect(stderr).toBe("");
      expect(exitCode).toBe(0);
    },
  );

  it("lists every image command in the help of the group", async () => {
    const { stdout } = await msb(["image", "--help"]);
    for (const name of IMAGE_COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
  });

  it("tells what is wrong with its words", async () => {
    const { exitCode, stdout, stderr } = await msb(["image", "pul", "x"]);
    expect(stderr).toBe(
      "msb-ts: Unknown command 'pul'. Did you mean pull? (MSB_ERR_INVALID_ARGUMENT)\n" +
        "Try: msb-ts image --help\n",
    );
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
  });

  it("refuses to read an archive from a terminal, and to write one there", async () => {
    const load = await runInTerminal([process.execPath, builtCli(), "image", "load"]);
    expect(load.stdout).toContain("Standard input is a terminal");
    expect(load.exitCode).toBe(2);
    const save = await runInTerminal([process.execPath, builtCli(), "image", "save", "x"]);
    expect(save.stdout).toContain("Standard output is a terminal");
    expect(save.exitCode).toBe(2);
  });
});

describe("the program and servers that do not help it", () => {
  /** Where something answers that is no server of ours. */
  async function foreignServer(answer: RequestListener): Promise<string> {
    const server = createServer(answer).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it("says how to start one when there is none", async () => {
    const env = { MSB_HOME: await tempDir(), MSB_SERVER_URL: "" };
    const { exitCode, stdout, stderr } = await msb(["ps"], { env });
    expect(stderr).toMatch(/Start one with `msb-ts server start .*_SERVER_NOT_RUNNING\)\n$/);
    expect([exitCode, stdout]).toEqual([69, ""]);
    const json = await msb(["exec", "--json", "lab", "ls"], { env });
    expect(JSON.parse(json.stderr).error.code).toBe("MSB_ERR_SERVER_NOT_RUNNING");
    expect([json.exitCode, json.stdout]).toEqual([125, ""]);
  });

  it("tells a server of microsandbox 0.2 from one of ours", async () => {
    const url = await foreignServer((request, response) => {
      if (request.url !== "/api/v1/health") return response.writeHead(404).end();
      return response.writeHead(200, JSON_TYPE).end('{"message":"Service is healthy"}');
    });
    const { exitCode, stdout, stderr } = await msb(["create", "python", "--server-url", url]);
    expect(stderr).toMatch(/as servers of microsandbox 0\.2 do.*_SERVER_INCOMPATIBLE\)\n$/);
    expect([exitCode, stdout]).toEqual([76, ""]);
  });

  it.each([["metrics", "lab"], ["code", "lab", "-c", "1"], ["logs", "lab"], ["top"]])(
    "tells what speaks JSON from a server of ours: %s",
    async (...words) => {
      const env = {
        MSB_SERVER_URL: await foreignServer((_request, response) =>
          response.writeHead(200, JSON_TYPE).end('{"hello":"world"}'),
        ),
      };
      const { exitCode, stdout, stderr } = await msb(words, { env });
      expect(stderr).toMatch(/^msb-ts: What is at http:.*_SERVER_INCOMPATIBLE\)\n$/);
      expect([exitCode, stdout]).toEqual([76, ""]);
    },
  );
});
