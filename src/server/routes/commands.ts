/** Running a program, its output as it comes. */
import { CommandBody, CommandRecord } from "../../api/commands.js";
import { SandboxParams } from "../../api/sandboxes.js";
import { MsbError } from "../../errors.js";
import type { StreamCommandRequest } from "../../sandbox/service.js";
import type { App, ServerContext } from "../context.js";
import { commandRecords } from "./command-records.js";
import { FAILURES, ONE_SANDBOX, sandboxKey, streamContent } from "./common.js";
import { sendGuestStream } from "./guest-stream.js";

export function commandRoute(app: App, { sandboxes }: ServerContext): void {
  app.post(
    `${ONE_SANDBOX}/commands`,
    {
      schema: {
        summary: "Runs a program and streams what happens",
        description:
          "One JSON document a line; server-sent events when text/event-stream is accepted. " +
          "The last record is `end`, also after a timeout, or `failure` when the answer had begun before " +
          "something broke. The program waits while its output is not read.",
        tags: ["commands"],
        params: SandboxParams,
        body: CommandBody,
        response: {
          200: {
            description: "What happens, record by record",
            content: streamContent(CommandRecord),
          },
          ...FAILURES,
        },
      },
    },
    async (request, reply) => {
      const { encoding = "text", killOnDisconnect = true, ...body } = request.body;
      const key = sandboxKey(request);
      const command = requestOf(body);
      const what = { work: "A command", endsWithClient: killOnDisconnect };
      return sendGuestStream(request, reply, what, (opts) =>
        commandRecords(sandboxes.streamCommand(key, command, opts), encoding),
      );
    },
  );
}

function requestOf(body: CommandBody): StreamCommandRequest {
  const { command, args = [], timeoutMs = 0, env, workdir, user, stdin } = body;
  return {
    command,
    args,
    timeoutMs,
    ...(env === undefined ? {} : { env }),
    ...(workdir === undefined ? {} : { workdir }),
    ...(user === undefined ? {} : { user }),
    ...(stdin === undefined ? {} : { stdin: inputOf(stdin) }),
  };
}

/** Decoders pass over what is no Base64, and a program would get other bytes than were meant. */
function inputOf(stdin: string): Uint8Array {
  const bytes = Buffer.from(stdin, "base64");
  if (bytes.toString("base64") === stdin) return bytes;
  throw new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    "stdin is no Base64. Write it in the standard alphabet, padded with =, without line breaks.",
    { details: { option: "stdin" } },
  );
}
