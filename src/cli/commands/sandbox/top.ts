/** `msb-ts top`. */
import { setTimeout as delay } from "node:timers/promises";
import type { MetricsView } from "../../../api/sandboxes.js";
import { isMsbError, messageOf } from "../../../errors.js";
import type { MsbClient } from "../../../sdk/client.js";
import { throwIfAborted } from "../../../util/async.js";
import { Semaphore } from "../../../util/semaphore.js";
import { CliCommand } from "../../command.js";
import { connect, type ServerUrlOpts, serverUrlOption } from "../../connect.js";
import { type CliContext, isInteractive, isTerminal } from "../../context.js";
import { count, oneLine } from "../../format.js";
import { LeaveKeys } from "../../leave-keys.js";
import { LiveScreen } from "../../live-screen.js";
import { printJson, printTable, tableLines } from "../../output.js";
import { METRICS_HEAD, metricsRow } from "./metrics-row.js";

const INTERVAL_MS = 2_000;
/** Requests at the same time. */
const CONCURRENCY = 8;
const PAGE = 1000;

export function topCommand(ctx: CliContext): CliCommand {
  return new CliCommand("top")
    .summary("watch what all running sandboxes use")
    .description(
      "Watch what all running sandboxes use, the busiest first, every two seconds; q or Ctrl-C leaves. Where nobody " +
        "watches, in a pipe or on a build server, this is one table. What the columns mean: msb-ts metrics --help.",
    )
    .addOption(serverUrlOption())
    .jsonOption()
    .example("Watch", "msb-ts top")
    .example("The busiest now", "msb-ts top --json | jq -r '.[0].name'")
    .action((opts: ServerUrlOpts) => top(ctx, opts));
}

async function top(ctx: CliContext, opts: ServerUrlOpts): Promise<void> {
  const isScreen = isTerminal(ctx.stdout) && isInteractive(ctx) && ctx.env["TERM"] !== "dumb";
  const first = await look(ctx, opts, ctx.signal);
  if (opts.json) printJson(ctx, first);
  else if (isScreen) await watch(ctx, opts, first);
  else printTable(ctx, METRICS_HEAD, first.map(metricsRow));
}

async function watch(
  ctx: CliContext,
  opts: ServerUrlOpts,
  first: readonly MetricsView[],
): Promise<void> {
  using screen = new LiveScreen(ctx.stdout);
  using keys = new LeaveKeys(ctx.stdin);
  const signal = AbortSignal.any([keys.left, ctx.signal]);
  let seen = first;
  let trouble = "";
  while (!signal.aborted) {
    screen.draw(screenLines(ctx, seen, trouble));
    try {
      await delay(INTERVAL_MS, undefined, { signal });
      seen = await look(ctx, opts, signal);
      trouble = "";
    } catch (error) {
      // A server that is being started again is no reason to leave.
      trouble = oneLine(messageOf(error));
    }
  }
  throwIfAborted(ctx.signal, "The watch");
}

function screenLines(
  ctx: CliContext,
  seen: readonly MetricsView[],
  trouble: string,
): readonly string[] {
  const time = new Date(ctx.now()).toISOString().slice(11, 19);
  return [
    `${count(seen.length, "sandbox").replace(/xs$/, "xes")}   ${time} UTC   q leaves`,
    trouble,
    ...tableLines(METRICS_HEAD, seen.map(metricsRow)),
  ];
}

/** The busiest first. Each look connects anew: keys expire, and a new server may be elsewhere. */
async function look(
  ctx: CliContext,
  opts: ServerUrlOpts,
  signal: AbortSignal,
): Promise<MetricsView[]> {
  const client = await connect(ctx, opts);
  const turns = new Semaphore(CONCURRENCY);
  const asked: Promise<MetricsView | null>[] = [];
  const filter = { state: ["running" as const], limit: PAGE };
  for await (const { namespace, name } of client.listSandboxes(filter, { signal })) {
    asked.push(metricsOf(client, turns, { namespace, name }, signal));
  }
  const seen = (await Promise.all(asked)).filter((view) => view !== null);
  return seen.toSorted((left, right) => (right.cpuPercent ?? 0) - (left.cpuPercent ?? 0));
}

/** Null for one that has gone meanwhile. */
async function metricsOf(
  client: MsbClient,
  turns: Semaphore,
  key: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<MetricsView | null> {
  using _turn = await turns.acquire("The question", signal);
  try {
    return await client.metrics(key, { signal });
  } catch (error) {
    if (isMsbError(error, "MSB_ERR_SANDBOX_NOT_FOUND")) return null;
    throw error;
  }
}
