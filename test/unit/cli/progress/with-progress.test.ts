import { describe, expect, it } from "vitest";
import { stopReason } from "../../../../src/cli/error-report.js";
import { type ProgressOpts, withProgress } from "../../../../src/cli/progress/with-progress.js";
import type { OnProgress } from "../../../../src/util/progress.js";
import { type CliOpts, testContext } from "../../../helpers/cli.js";

const AT_TERMINAL = { terminals: ["stderr"] } as const;

async function shownAs(cli: CliOpts, opts: ProgressOpts): Promise<"bars" | "lines" | "nothing"> {
  const { ctx, stderr, stdout } = testContext(cli);
  await withProgress(ctx, opts, async (onProgress) => {
    onProgress({ id: "1", label: "one", state: "running", doneBytes: 0, totalBytes: 5 });
    onProgress({ id: "1", label: "one", state: "done", doneBytes: 5, totalBytes: 5 });
  });
  expect(stdout.text()).toBe("");
  if (stderr.text() === "") return "nothing";
  return stderr.text().includes("\u001b") ? "bars" : "lines";
}

describe("progress", () => {
  it.each([
    ["bars", "a terminal", AT_TERMINAL, {}],
    ["bars", "a terminal, results as JSON", AT_TERMINAL, { json: true }],
    ["bars", "CI=false", { ...AT_TERMINAL, env: { CI: "false" } }, {}],
    ["bars", "NO_COLOR, as there is none", { ...AT_TERMINAL, env: { NO_COLOR: "1" } }, {}],
    ["lines", "a terminal of a build server", { ...AT_TERMINAL, env: { CI: "true" } }, {}],
    ["lines", "a terminal that can do nothing", { ...AT_TERMINAL, env: { TERM: "dumb" } }, {}],
    ["lines", "a file or a pipe", {}, {}],
    ["lines", "stdout is a terminal and stderr is not", { terminals: ["stdout"] }, {}],
    ["nothing", "a program that reads JSON", {}, { json: true }],
    ["nothing", "--quiet", AT_TERMINAL, { quiet: true }],
    ["nothing", "--quiet in a pipe", {}, { quiet: true }],
  ] as const)("is shown as %s: %s", async (shown, _where, cli, opts) => {
    expect(await shownAs(cli, opts)).toBe(shown);
  });

  it("stands still once the command is stopped", async () => {
    const stop = new AbortController();
    const { ctx, stderr } = testContext({ signal: stop.signal });
    await withProgress(ctx, {}, async (onProgress) => {
      stop.abort(stopReason("SIGINT"));
      onProgress({ id: "1", label: "one", state: "running", doneBytes: 0, totalBytes: 5 });
    });
    expect(stderr.text()).toBe("");
  });

  it("stands still once the work has ended or failed", async () => {
    const { ctx, stderr } = testContext();
    let late: OnProgress | undefined;
    const work = withProgress(ctx, {}, async (onProgress) => {
      late = onProgress;
      throw new Error("failed");
    });
    await expect(work).rejects.toThrow("failed");
    late?.({ id: "1", label: "one", state: "running", doneBytes: 0, totalBytes: 5 });
    expect(stderr.text()).toBe("");
  });
});
