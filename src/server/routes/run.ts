/** Running code, its events as they come. */
import { RunBody, RunRecord } from "../../api/code.js";
import { SandboxParams } from "../../api/sandboxes.js";
import type { RunCodeRequest, RunEvent } from "../../kernel/run-types.js";
import type { App, ServerContext } from "../context.js";
import type { StreamRecord } from "../streams/format.js";
import { FAILURES, ONE_SANDBOX, sandboxKey, streamContent } from "./common.js";
import { sendGuestStream } from "./guest-stream.js";

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
          200: { description: "What happens, record by record", content: streamContent(RunRecord) },
          ...FAILURES,
        },
      },
    },
    async (request, reply) => {
      const { interruptOnDisconnect = true, ...body } = request.body;
      const key = sandboxKey(request);
      const run = requestOf(body);
      const what = { work: "Code", endsWithClient: interruptOnDisconnect };
      return sendGuestStream(request, reply, what, (opts) =>
        records(sandboxes.runCode(key, run, opts)),
      );
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
