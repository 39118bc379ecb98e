/** Connections that cannot be made or are lost, as errors; each runtime's `fetch` tells them in its own way. */
import { type MsbError, messageOf } from "../errors.js";
import { sdkError } from "./errors.js";

const WHAT_TO_DO =
  "Start one with `msb-ts server start`, or say with serverUrl (MSB_SERVER_URL) where it is.";
const REFUSED: ReadonlySet<string> = new Set(["ECONNREFUSED", "ConnectionRefused"]);
const NOT_FOUND: ReadonlySet<string> = new Set(["ENOTFOUND", "EAI_AGAIN"]);

/** What `fetch` or the reading of a body threw. */
export function connectionError(thrown: unknown, serverUrl: string): MsbError {
  const codes = codesOf(thrown);
  const isRefused = codes.some((code) => REFUSED.has(code));
  const isUnknown = codes.some((code) => NOT_FOUND.has(code));
  const what = isRefused
    ? `No server listens at ${serverUrl}.`
    : isUnknown
      ? `The name of the server at ${serverUrl} is not known.`
      : `There is no connection to the server at ${serverUrl} (${deepestMessage(thrown)}).`;
  return sdkError("MSB_ERR_SERVER_UNREACHABLE", `${what} ${WHAT_TO_DO}`, {
    cause: thrown,
    details: { serverUrl, ...(codes[0] === undefined ? {} : { reason: codes[0] }) },
  });
}

/** The answer ended before it was complete. */
export function cutOffError(serverUrl: string): MsbError {
  return sdkError(
    "MSB_ERR_SERVER_UNREACHABLE",
    `The server at ${serverUrl} ended its answer before it was complete. Look at its log with \`msb-ts server logs\`.`,
    { details: { serverUrl } },
  );
}

/** Outermost first. Of several addresses that were tried, each has its own. */
function codesOf(thrown: unknown): readonly string[] {
  return causes(thrown).flatMap((error) => {
    const { code } = error as { code?: unknown };
    return typeof code === "string" ? [code] : [];
  });
}

/** Runtimes hide the reason: "fetch failed" says nothing. */
function deepestMessage(thrown: unknown): string {
  const texts = causes(thrown).map(messageOf);
  return texts.findLast((text) => text !== "") ?? String(thrown);
}

const MAX_CAUSES = 10;

function causes(thrown: unknown): readonly Error[] {
  const found: Error[] = [];
  const open: unknown[] = [thrown];
  while (open.length > 0 && found.length < MAX_CAUSES) {
    const error = open.shift();
    if (!(error instanceof Error)) continue;
    found.push(error);
    open.push(error.cause, ...(error instanceof AggregateError ? error.errors : []));
  }
  return found;
}
