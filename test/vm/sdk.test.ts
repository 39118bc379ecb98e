/**
 * Every program of docs/sdk.md against one server that really runs, as a user has them: in a folder with the built
 * package in its node_modules. Each must end with exit code 0, and print what its comments say: a comment at the end
 * of a line with `console.log(` is a line of the output, in the order of the page.
 */
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PythonSandbox, Sandbox } from "../../src/index.js";
import {
  type DocsBlock,
  docsBlocks,
  FRAGMENT_SANDBOX,
  missingLine,
} from "../helpers/docs-blocks.js";
import { runProgram } from "../helpers/run-program.js";
import { TestServer } from "../helpers/server-process.js";
import { testDrivers } from "../helpers/vm-fixture.js";

const project = fileURLToPath(new URL("../../", import.meta.url));

// It is above the drivers: one is enough, the fast one.
describe.each(testDrivers.filter((name) => name === "qemu"))("docs/sdk.md under %s", (driver) => {
  let folder: string;
  let server: TestServer;
  let sandbox: PythonSandbox;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "msb-sdk-docs-"));
    await mkdir(join(folder, "node_modules"));
    await symlink(project, join(folder, "node_modules/msb-ts"));
    server = await TestServer.start({ driver });
    sandbox = await PythonSandbox.create({ serverUrl: server.url, name: FRAGMENT_SANDBOX });
  });
  afterAll(async () => {
    await sandbox?.remove();
    await server?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it.each(docsBlocks())("$title", async (block) => {
    const { exitCode, stdout, stderr } = await runBlock(block);
    expect({ exitCode, stderr }, `${server.logTail()}`).toEqual({ exitCode: 0, stderr: "" });
    const missing = missingLine(stdout.split("\n"), block.printed);
    expect(missing, `is not printed where it should be, but this is:\n${stdout}`).toBeUndefined();
  });

  it("leaves no sandbox running", async () => {
    const running: string[] = [];
    const { serverUrl } = sandbox;
    for await (const { name } of Sandbox.list({ serverUrl, state: ["running"] })) {
      running.push(name);
    }
    expect(running).toEqual([FRAGMENT_SANDBOX]);
  });

  async function runBlock({ language, source }: DocsBlock) {
    const path = join(folder, language === "js" ? "block.cjs" : "block.mjs");
    await writeFile(path, language === "js" ? source : javaScript(source));
    return runProgram([process.execPath, path], {
      env: { MSB_SERVER_URL: server.url, MSB_API_KEY: "" },
    });
  }
});

function javaScript(source: string): string {
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  return ts.transpileModule(source, { compilerOptions }).outputText;
}
