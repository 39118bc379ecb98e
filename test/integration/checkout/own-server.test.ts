import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { runProgram } from "../../helpers/run-program.js";

const PROGRAM = fileURLToPath(new URL("own-server-program.mjs", import.meta.url));

it("a server of its own that was killed leaves neither microVM nor folder", async () => {
  const end = await runProgram([process.execPath, PROGRAM]);
  expect(end).toMatchObject({ exitCode: 0, stdout: "SIGKILL\nSIGTERM false\n", stderr: "" });
});
