import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const program = fileURLToPath(new URL("../../build/Release/msb-native-test", import.meta.url));
const fixtures = fileURLToPath(new URL("../fixtures/protocol", import.meta.url));

// The guest agent and its tests are built on Linux only.
test.skipIf(process.platform !== "linux")("the native unit tests pass", () => {
  expect(existsSync(program), `${program} is missing: run npm run build:native`).toBe(true);
  let output: string;
  try {
    output = execFileSync(program, [fixtures], { encoding: "utf8", timeout: 60_000 });
  } catch (error) {
    const failed = error as { stdout?: string; message: string };
    throw new Error(`${failed.message}\n${failed.stdout ?? ""}`, { cause: error });
  }
  expect(output).toContain(" 0 failed checks");
});
