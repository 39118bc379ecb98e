import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

describe.runIf(process.platform === "linux")("the native code", () => {
  it("passes its own checks, with the frames that the host's tests use", () => {
    let output: string;
    let status = 0;
    try {
      output = execFileSync(
        path("../../build/Release/msb-native-test"),
        [path("../fixtures/protocol")],
        { encoding: "utf8" },
      );
    } catch (error) {
      const failed = error as { stdout?: string; message: string; status?: number };
      output = failed.stdout || failed.message;
      status = failed.status ?? -1;
    }
    console.log(output.trim());
    expect(status, output).toBe(0);
  });
});
