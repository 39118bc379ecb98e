/** Tells when a client is not there any more to read its answer. */
import type { FastifyReply } from "fastify";
import { MsbError } from "../../errors.js";

/** Aborts when the connection closes before the answer is complete. */
export function clientGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  const { raw } = reply;
  raw.once("close", () => {
    if (raw.writableFinished) return;
    gone.abort(new MsbError("MSB_ERR_ABORTED", "The client closed the connection."));
  });
  if (raw.destroyed && !raw.writableFinished) gone.abort();
  return gone.signal;
}
