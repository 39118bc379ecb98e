/** What an HTTP status of a registry means to users, with the registry's own words (OCI distribution spec, "Error Codes"). */
import { type ErrorCode, MsbError } from "../../errors.js";
import { redactText, redactUrl } from "./redact.js";
import { parseRetryAfter } from "./retry.js";
import { type HttpResponse, readBody } from "./transport.js";

const MAX_ERROR_BYTES = 64 * 1024;
const MAX_SHOWN_ERRORS = 3;
const MAX_SHOWN_LENGTH = 400;

export interface StatusContext {
  /** What was asked for; begins the message. */
  readonly what: string;
  readonly registry: string;
  /** Who answered: the registry, or the service that gives its tokens. */
  readonly from: "registry" | "token service";
  /** Texts that may come back in the answer and must not be shown. */
  readonly secrets: readonly string[];
  /** What to do about missing or refused credentials. */
  readonly hint: string;
  readonly nowMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The error for an answer that is none of those expected; reads its body. */
export async function statusError(
  response: HttpResponse,
  context: StatusContext,
): Promise<MsbError> {
  const { what, registry } = context;
  const { status } = response;
  const words = await wordsOf(response, context);
  const retryAfterMs = parseRetryAfter(response.header("retry-after"), context.nowMs);
  const { code, reason, advice } = meaningOf(response, context);
  const said = words === "" ? "" : ` It says: ${words.replace(/[.\s]*$/, "")}.`;
  return new MsbError(code, `${what} ${reason} (HTTP ${status}).${said} ${advice}`, {
    details: {
      registry,
      url: redactUrl(response.url),
      status,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    },
  });
}

interface Meaning {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly advice: string;
}

function meaningOf({ status, isForeign, url }: HttpResponse, context: StatusContext): Meaning {
  const { registry, hint } = context;
  const host = isForeign ? `${url.host}, where ${registry} keeps it,` : registry;
  const isToken = context.from === "token service";
  // OAuth2 says 400 of a refresh token that it does not take (RFC 6749, section 5.2).
  if (status === 401 || status === 403 || (isToken && status === 400)) {
    // What another host wants to know is not for the registry's credentials to tell.
    return isForeign
      ? { code: "MSB_ERR_REGISTRY", reason: `is refused by ${host}`, advice: "Try again later." }
      : {
          code: "MSB_ERR_REGISTRY_AUTH",
          reason: `is not at ${host}, or not for you`,
          advice: hint,
        };
  }
  if (status === 404 && !isToken) {
    const advice = "Check the name and the tag; some registries also say this of what is private.";
    return { code: "MSB_ERR_IMAGE_NOT_FOUND", reason: `is not at ${host}`, advice };
  }
  if (status === 429 || status === 408 || status >= 500) {
    const reason = `is not to be had from ${host} now`;
    const advice =
      status === 429
        ? "You asked it too often: wait, log in, or use a mirror."
        : "Try again later, or use a mirror.";
    return { code: "MSB_ERR_REGISTRY_UNAVAILABLE", reason, advice };
  }
  return {
    code: "MSB_ERR_REGISTRY",
    reason: `was answered by ${host} with something unexpected`,
    advice: "Check that this is a registry of container images.",
  };
}

/** The errors that the body lists; empty when it is anything else. */
async function wordsOf(response: HttpResponse, context: StatusContext): Promise<string> {
  const { secrets, signal, what } = context;
  try {
    const tooLong = (): MsbError => new MsbError("MSB_ERR_REGISTRY", "too long");
    const bytes = await readBody(response, MAX_ERROR_BYTES, { tooLong, what, signal });
    const { errors } = JSON.parse(bytes.toString("utf8")) as { errors?: unknown };
    if (!Array.isArray(errors)) return "";
    const texts = errors.slice(0, MAX_SHOWN_ERRORS).map((error: unknown) => textOf(error));
    const text = texts.filter((part) => part !== "").join("; ");
    return redactText(text, secrets, MAX_SHOWN_LENGTH).replaceAll(/\s+/g, " ").trim();
  } catch (error) {
    if (signal?.aborted) throw error;
    // The status is enough.
    return "";
  }
}

function textOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return "";
  const { code, message } = error as { code?: unknown; message?: unknown };
  return [code, message].filter((part) => typeof part === "string" && part !== "").join(": ");
}
