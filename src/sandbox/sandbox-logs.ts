/** The log of a sandbox as readers get it: what is kept, then what comes. */
import type { ConsoleLog } from "./console-log.js";
import type { EventLog } from "./event-log.js";
import { FollowQueue } from "./follow-queue.js";
import type { LogEntry, LogSource } from "./service.js";

/** Entries that wait for a slow reader, and their characters: a guest may say much at once on its console. */
const MAX_WAITING = 1_000;
const MAX_WAITING_CHARS = 2 * 1024 ** 2;

export interface ReadLogsOpts {
  readonly sources: readonly LogSource[];
  readonly follow: boolean;
  /** Aborts when the reader wants no more, or when the sandbox is gone. */
  readonly signal: AbortSignal;
  readonly now: () => number;
}

export async function* readLogs(
  logs: { readonly events: EventLog; readonly console: ConsoleLog },
  opts: ReadLogsOpts,
): AsyncGenerator<LogEntry, void, undefined> {
  const queue = new FollowQueue<LogEntry>({
    maxItems: MAX_WAITING,
    maxSize: MAX_WAITING_CHARS,
    sizeOf: (entry) => (entry.source === "console" ? entry.text : entry.event.message).length,
    marker: (dropped) => leftOut(dropped, opts),
  });
  const end = (): void => queue.end();
  if (opts.signal.aborted) return;
  opts.signal.addEventListener("abort", end, { once: true });
  const stops: (() => void)[] = [];
  try {
    const kept: LogEntry[] = [];
    if (opts.sources.includes("events")) {
      const events = await logs.events.follow((event) => queue.push({ source: "events", event }));
      stops.push(events.stop);
      kept.push(...events.kept.map((event) => ({ source: "events", event }) as const));
    }
    if (opts.sources.includes("console")) {
      const console = await logs.console.follow((text) => queue.push({ source: "console", text }));
      stops.push(console.stop);
      if (console.kept !== "") kept.push({ source: "console", text: console.kept });
    }
    yield* kept;
    if (opts.follow) yield* queue;
  } finally {
    opts.signal.removeEventListener("abort", end);
    for (const stop of stops) stop();
  }
}

function leftOut(dropped: number, opts: ReadLogsOpts): LogEntry {
  const message = `${dropped} entries were left out here: they came faster than they were read.`;
  if (!opts.sources.includes("events")) return { source: "console", text: `\n[${message}]\n` };
  const at = new Date(opts.now()).toISOString();
  return {
    source: "events",
    event: { seq: 0, at, type: "left-out", message, details: { dropped } },
  };
}
