import { stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readHistory, writeHistory } from "../../../../src/cli/repl/history.js";
import { tempDir } from "../../../helpers/temp-dir.js";

describe("the history of a prompt", () => {
  it("is read as it was written, for its owner only, and not without limit", async () => {
    const path = join(await tempDir(), "home", "history");
    expect(await readHistory(path)).toEqual([]);
    const lines = Array.from({ length: 1_200 }, (_, index) => `line ${index}`);
    await writeHistory(path, lines);
    expect(await readHistory(path)).toEqual(lines.slice(0, 1_000));
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("that cannot be written is no failure", async () => {
    await expect(writeHistory("/dev/null/history", ["x"])).resolves.toBeUndefined();
  });
});
