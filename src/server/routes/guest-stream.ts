/** What runs in a sandbox as an answer: ended when its client goes away, or left to go on without it. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { SandboxCallOpts } from "../../sandbox/service.js";
import { clientGone } from "../streams/client-gone.js";
import { streamFormat, type StreamRecord } from "../streams/format.js";
import { sendStream } from "../streams/send-stream.js";

export interface GuestWork {
  /** For the log: what runs, at the beginning of a sentence. */
  readonly work: string;
  readonly endsWithClient: boolean;
}

export function sendGuestStream(
  request: FastifyRequest,
  reply: FastifyReply,
  { work, endsWithClient }: GuestWork,
  open: (opts: SandboxCallOpts) => AsyncIterable<StreamRecord>,
): Promise<FastifyReply> {
  const gone = clientGone(reply);
  const goesOn = {
    onAbandoned: (source: AsyncIterator<unknown>) => void drain(source, request, work),
  };
  return sendStream(reply, open(endsWithClient ? { signal: gone } : {}), {
    format: streamFormat(request.headers.accept) ?? "ndjson",
    gone,
    ...(endsWithClient ? {} : goesOn),
  });
}

/** Reads on for a client that is gone but wants it to go on: output that nobody takes would stop it. */
async function drain(
  source: AsyncIterator<unknown>,
  request: FastifyRequest,
  work: string,
): Promise<void> {
  try {
    while (!(await source.next()).done);
    request.log.info(`${work} ran to its end after its client was gone.`);
  } catch (error) {
    request.log.info({ err: error }, `${work} failed after its client was gone.`);
  }
}
