import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { isRunning } from "../../helpers/processes.js";
import { runProgram } from "../../helpers/run-program.js";

const PROGRAM = fileURLToPath(new URL("children-program.mjs", import.meta.url));
const NEVER_MS = "600000";

/** With a signal as soon as the script says `ready`, and another one when it says `asked`. */
const run = (
  { signals, graceMs }: { signals: "group" | "leader"; graceMs: string },
  script: string,
  ...sent: readonly NodeJS.Signals[]
) =>
  runProgram([process.execPath, PROGRAM, signals, graceMs, script], {
    signals: sent.map((signal, index) => [index === 0 ? "ready" : "asked", signal] as const),
  });

describe("programs of a checkout", () => {
  it("run one after the other when nobody stops them", async () => {
    const end = await run({ signals: "group", graceMs: NEVER_MS }, "exit 3");
    expect(end).toMatchObject({ exitCode: 0, stdout: "first 3\nbegins\nsecond 0\n" });
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("end with all they started at %s, and no other begins", async (signal, exitCode) => {
    // No shell: one that is about to start a program may lose a SIGINT.
    const inner = "console.log(process.pid); console.error('ready'); setInterval(() => {}, 1e6)";
    const script = `"${process.execPath}" -e "${inner}"; echo on; sleep 600`;
    const end = await run({ signals: "group", graceMs: NEVER_MS }, script, signal);
    const [pid, ...rest] = end.stdout.trimEnd().split("\n");
    expect([end.exitCode, rest]).toEqual([exitCode, [`ended by ${signal}`]]);
    expect(await isRunning(Number(pid))).toBe(false);
  });

  it("are killed when they do not end", async () => {
    const script = "trap '' INT; echo $$; echo ready >&2; while :; do sleep 0.1; done";
    const end = await run({ signals: "group", graceMs: "100" }, script, "SIGINT");
    const [pid, ...rest] = end.stdout.trimEnd().split("\n");
    expect([end.exitCode, rest]).toEqual([130, ["ended by SIGINT"]]);
    expect(await isRunning(Number(pid))).toBe(false);
  });

  it.each(["group", "leader"] as const)(
    "that do not end are killed by a second signal, of the %s",
    async (signals) => {
      const script =
        "trap 'sleep 1; echo asked >&2' INT; echo $$; echo ready >&2; while :; do sleep 0.1; done";
      const end = await run({ signals, graceMs: NEVER_MS }, script, "SIGINT", "SIGINT");
      const [pid, ...rest] = end.stdout.trimEnd().split("\n");
      expect([end.exitCode, rest]).toEqual([130, ["ended by SIGINT"]]);
      expect(await isRunning(Number(pid))).toBe(false);
    },
  );

  it("end in their own time when the second signal is the first one, passed on by npm", async () => {
    const script =
      "trap 'echo asked >&2; sleep 2; echo done; exit' INT; echo ready >&2; while :; do sleep 0.1; done";
    const end = await run({ signals: "group", graceMs: NEVER_MS }, script, "SIGINT", "SIGINT");
    expect(end).toMatchObject({ exitCode: 130, stdout: "done\nended by SIGINT\n" });
  });

  it("are asked a second time when they must not be killed", async () => {
    const script =
      "trap 'trap \"echo again; exit\" INT; sleep 1; echo asked >&2' INT; echo ready >&2; " +
      "while :; do sleep 0.1; done";
    const end = await run({ signals: "leader", graceMs: "Infinity" }, script, "SIGINT", "SIGINT");
    expect(end).toMatchObject({ exitCode: 130, stdout: "again\nended by SIGINT\n" });
  });

  it("end in their own time when they must not be killed, and what they run is left alone", async () => {
    const script =
      "trap 'echo asked' INT; sh -c 'echo ready >&2; sleep 1; echo done' & " +
      "wait $!; wait $!; echo end";
    const end = await run({ signals: "leader", graceMs: "Infinity" }, script, "SIGINT");
    expect(end).toMatchObject({ exitCode: 130, stdout: "asked\ndone\nend\nended by SIGINT\n" });
  });
});
