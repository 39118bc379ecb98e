import { describe, expect, it } from "vitest";
import {
  collectCommand,
  streamCommand,
} from "../../../../../src/cli/commands/sandbox/command-output.js";
import type { CommandRecordView } from "../../../../../src/sdk/client.js";
import { testContext } from "../../../../helpers/cli.js";

async function* records(...list: CommandRecordView[]): AsyncGenerator<CommandRecordView> {
  yield* list;
}

describe("records of a command", () => {
  it("that end without an end are an error", async () => {
    const piece: CommandRecordView = { type: "stdout", text: "x" };
    const { ctx, stdout } = testContext();
    const isBroken = expect.objectContaining({ code: "MSB_ERR_SERVER_FAILED" });
    await expect(streamCommand(ctx, records(piece))).rejects.toEqual(isBroken);
    expect(stdout.text()).toBe("x");
    await expect(collectCommand(records(piece))).rejects.toEqual(isBroken);
  });

  it("are not put together without limit", async () => {
    const base64 = Buffer.alloc(1024 ** 2, "x").toString("base64");
    const pieces = Array.from({ length: 65 }, () => ({ type: "stdout", base64 }) as const);
    await expect(collectCommand(records(...pieces))).rejects.toEqual(
      expect.objectContaining({ code: "MSB_ERR_OUTPUT_LIMIT" }),
    );
  });

  it("are joined before bytes become text", async () => {
    const letter = Buffer.from("\u00e4");
    const piece = (bytes: Buffer) =>
      ({ type: "stderr", base64: bytes.toString("base64") }) as const;
    const { stderr } = await collectCommand(
      records(piece(letter.subarray(0, 1)), piece(letter.subarray(1)), {
        type: "end",
        reason: "exited",
        exitCode: 0,
        signal: null,
        durationMs: 1,
      }),
    );
    expect(stderr).toBe("\u00e4");
  });
});
