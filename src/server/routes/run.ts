/** Running code, its events as they come. */
import { Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import { RunBody, RunRecord } from "../../api/code.js";
import { SandboxParams } from "../../api/sandboxes.js";
import type { RunCodeRequest, RunEvent } from "../../kernel/run-types.js";
import type { App, ServerContext } from "../context.js";
import { clientGone } from "../streams/client-gone.js";
import { accepts, NDJSON_TYPE, SSE_TYPE, type StreamRecord } from "../streams/format.js";
import { sendStream, type SendStreamOpts } from "../streams/send-stream.js";
import { FAILURES, ONE_SANDBOX, sandboxKey } from "./common.js";

export function runRoute(app: App, { sandboxes }: ServerContext): void {
  app.post(
    `${ONE_SANDBOX}/run`,
    {
      schema: {
        summary: "Runs code in a context and streams what happens",
        description:
          "One JSON document a line; server-sent events when text/event-stream is accepted. " +
          "The last record is `end`, or `failure` when the answer had begun before something broke.",
        tags: ["code"],
        params: SandboxParams,
        body: RunBody,
        response: {
          200: {
            description: "What happens, record by record",
            content: {
              [NDJSON_TYPE]: { schema: RunRecord },
              [SSE_TYPE]: { schema: Type.String() },
            },
          },
          ...FAILURES,
        },
      },
    },
    async (request, reply) => {
      const { interruptOnDisconnect = true, ...body } = request.body;
      const key = sandboxKey(request);
      const gone = clientGone(reply);
      const run = requestOf(body);
      const events = sandboxes.runCode(key, run, interruptOnDisconnect ? { signal: gone } : {});
      const opts: SendStreamOpts = {
        format: accepts(request.headers.accept, SSE_TYPE) ? "sse" : "ndjson",
        gone,
        ...(interruptOnDisconnect ? {} : { onAbandoned: (source) => void drain(source, request) }),
      };
      return sendStream(reply, records(events), opts);
    },
  );
}

function requestOf({ language, code, timeoutMs, contextId }: RunBody): RunCodeRequest {
  return {
    language,
    code,
    timeoutMs: timeoutMs ?? 0,
    ...(contextId === undefined ? {} : { contextId }),
  };
}

async function* records(events: AsyncIterable<RunEvent>): AsyncGenerator<StreamRecord> {
  for await (const event of events) yield { event: event.type, data: event };
}

/** Reads on for a client that is gone but wants its code to go on: output that nobody takes would stop it. */
async function drain(source: AsyncIterator<unknown>, request: FastifyRequest): Promise<void> {
  try {
    while (!(await source.next()).done);
    request.log.info("Code ran to its end after its client was gone.");
  } catch (error) {
    request.log.info({ err: error }, "Code failed after its client was gone.");
  }
}
