/** Logs of a sandbox: what is kept as a list, what comes as a stream of events. */
import { Type } from "@sinclair/typebox";
import { LogEntryView, LogsQuery } from "../../api/logs.js";
import { SandboxParams } from "../../api/sandboxes.js";
import type { LogEntry, LogSource } from "../../sandbox/service.js";
import { LinkedAbort } from "../../util/linked-abort.js";
import type { App, ServerContext } from "../context.js";
import { clientGone } from "../streams/client-gone.js";
import { accepts, SSE_TYPE, type StreamRecord } from "../streams/format.js";
import { sendStream } from "../streams/send-stream.js";
import { FAILURES, ONE_SANDBOX, sandboxKey } from "./common.js";

const BOTH: readonly LogSource[] = ["events", "console"];

export function logRoutes(app: App, { sandboxes, closing }: ServerContext): void {
  app.get(
    `${ONE_SANDBOX}/logs`,
    {
      schema: {
        summary: "Shows what happened to a sandbox and what its console says",
        description:
          "A list; with follow, or when text/event-stream is accepted, server-sent events. " +
          "Events carry their seq as id, and a client that sends Last-Event-ID gets those after it.",
        tags: ["logs"],
        params: SandboxParams,
        querystring: LogsQuery,
        response: {
          200: {
            description: "What is kept, oldest first; with follow also what comes",
            content: {
              "application/json": { schema: Type.Array(LogEntryView) },
              [SSE_TYPE]: { schema: Type.String() },
            },
          },
          ...FAILURES,
        },
      },
    },
    async (request, reply) => {
      const { query, headers } = request;
      const key = sandboxKey(request);
      const follow = query.follow ?? false;
      const sources = query.source === undefined || query.source.length === 0 ? BOTH : query.source;
      const gone = clientGone(reply);
      const after = lastSeq(headers["last-event-id"]);
      if (!follow && !accepts(headers.accept, SSE_TYPE)) {
        return collect(newer(sandboxes.logs(key, { sources, signal: gone }), after));
      }
      // Whether it is there is asked at once; for what happens next there may be long to wait.
      sandboxes.get(key);
      return sendStream(reply, followed(gone), { format: "sse", gone, closing, firstRecordMs: 0 });

      async function* followed(client: AbortSignal): AsyncGenerator<StreamRecord> {
        using either = new LinkedAbort(client, closing);
        const { signal } = either;
        yield* records(newer(sandboxes.logs(key, { sources, follow, signal }), after));
      }
    },
  );
}

async function collect(entries: AsyncIterable<LogEntry>): Promise<LogEntry[]> {
  const all: LogEntry[] = [];
  for await (const entry of entries) all.push(entry);
  return all;
}

async function* records(entries: AsyncIterable<LogEntry>): AsyncGenerator<StreamRecord> {
  for await (const entry of entries) {
    if (entry.source === "events") {
      yield { event: entry.source, id: entry.event.seq, data: entry.event };
    } else {
      yield { event: entry.source, data: { text: entry.text } };
    }
  }
}

/** Only events have a number; what the console said is told from its start again. */
async function* newer(entries: AsyncIterable<LogEntry>, after: number): AsyncGenerator<LogEntry> {
  for await (const entry of entries) {
    if (entry.source !== "events" || entry.event.seq > after) yield entry;
  }
}

/** Anything that is no number of ours begins at the start. */
function lastSeq(header: string | string[] | undefined): number {
  return typeof header === "string" && /^\d{1,15}$/.test(header) ? Number(header) : -1;
}
