/** `msb-ts server status`. */
import { messageOf } from "../../../errors.js";
import type { MsbPaths } from "../../../paths.js";
import type { FoundServer } from "../../../server/process/server-lock.js";
import type { ServerProcess } from "../../../server/process/server-process.js";
import { CliCommand } from "../../command.js";
import type { CliContext } from "../../context.js";
import { QuietExit } from "../../exit.js";
import { age, oneLine } from "../../format.js";
import { printJson, printLine, printTable } from "../../output.js";
import { ownKey } from "../../own-server.js";
import { homePaths, type HomeOpts, pathOption, processView } from "./options.js";

/** What service managers expect of a status that finds nothing. */
const NOT_RUNNING = 3;
const ASK_MS = 5_000;

export function statusCommand(ctx: CliContext): CliCommand {
  return new CliCommand("status")
    .summary("is the server running, and how many sandboxes are there")
    .description(
      "Tell whether the server runs, where, since when, and how many sandboxes there are in each state. The exit " +
        "code is 0 when it runs, also while it starts, and 3 when it does not.",
    )
    .addOption(pathOption())
    .jsonOption()
    .example("For people", "msb-ts server status")
    .example("For scripts", "msb-ts server status >/dev/null || msb-ts server start --detach")
    .example("Its address", "msb-ts server status --json | jq -r .url")
    .action((opts: HomeOpts) => status(ctx, opts));
}

async function status(ctx: CliContext, opts: HomeOpts): Promise<void> {
  const { findServer } = await import("../../../server/process/server-lock.js");
  const paths = homePaths(ctx, opts);
  const found = await findServer(paths);
  const sandboxes =
    found.state === "running" ? await countsOf(paths, found.process, ctx.signal) : null;
  if (opts.json) printJson(ctx, statusView(found, sandboxes, ctx.now()));
  else printStatus(ctx, found, sandboxes);
  if (found.state === "none") throw new QuietExit(NOT_RUNNING);
}

/** Sandboxes by state; or why that cannot be told. */
type Counts = Readonly<Record<string, number>> | { readonly unknown: string };

function statusView(found: FoundServer, sandboxes: Counts | null, nowMs: number): object {
  const process = "process" in found ? found.process : null;
  return {
    running: found.state !== "none",
    state: found.state,
    ...(process === null
      ? {}
      : {
          ...processView(process),
          uptimeSeconds: Math.max(0, Math.floor((nowMs - Date.parse(process.startedAt)) / 1000)),
        }),
    sandboxes: sandboxes === null || isUnknown(sandboxes) ? null : sandboxes,
  };
}

function printStatus(ctx: CliContext, found: FoundServer, sandboxes: Counts | null): void {
  if (found.state === "none") return printLine(ctx, "The server is not running.");
  if (found.state === "unknown") {
    return printLine(ctx, "A server runs that cannot be seen from here, such as in a container.");
  }
  const { pid, url, version, startedAt, isDev, logFile } = found.process;
  printTable(ctx, null, [
    ["State", found.state],
    ["URL", url ?? "-"],
    ["Process", String(pid)],
    ["Version", oneLine(version)],
    ["Started", age(startedAt, ctx.now())],
    ["Keys", isDev ? "not asked for (development mode)" : "required"],
    ["Log", logFile === null ? "where it was started" : oneLine(logFile)],
    ...(sandboxes === null ? [] : [["Sandboxes", countsText(sandboxes)]]),
  ]);
}

function countsText(counts: Counts): string {
  if (isUnknown(counts)) return oneLine(counts.unknown);
  const some = Object.entries(counts).filter(([, count]) => count > 0);
  return some.map(([state, count]) => `${count} ${state}`).join(", ") || "none";
}

function isUnknown(counts: Counts): counts is { readonly unknown: string } {
  return typeof counts["unknown"] === "string";
}

async function countsOf(
  paths: MsbPaths,
  server: ServerProcess,
  signal: AbortSignal,
): Promise<Counts> {
  try {
    const { MsbClient } = await import("../../../sdk/client.js");
    const apiKey = (await ownKey(paths, server)) ?? "";
    const client = new MsbClient({ serverUrl: server.url ?? "", apiKey });
    return checkedCounts(await client.info({ timeoutMs: ASK_MS, signal }));
  } catch (error) {
    signal.throwIfAborted();
    return { unknown: `the server cannot be asked (${messageOf(error)})` };
  }
}

function checkedCounts(info: unknown): Counts {
  const counts = (info as { counts?: unknown } | null)?.counts;
  if (typeof counts !== "object" || counts === null) return { unknown: "the server does not say" };
  const entries = Object.entries(counts).filter(([state]) => /^[a-z]{1,20}$/.test(state));
  return Object.fromEntries(entries.map(([state, count]) => [state, Number(count)]));
}
