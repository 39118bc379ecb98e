/**
 * One HTTP exchange with a registry or with what it names: redirects by hand, credentials for one origin only,
 * plain HTTP where it was allowed, nothing read that was not asked for.
 */
import { type Dispatcher, request } from "undici";
import { MsbError } from "../../errors.js";
import { abortReason, throwIfAborted } from "../../util/async.js";
import { isLoopbackHost } from "../../util/host-port.js";
import { printable } from "../../util/printable.js";
import type { Connections } from "./dispatcher.js";
import { networkError } from "./network-error.js";
import { redactUrl } from "./redact.js";

const MAX_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Signed links have some two thousand characters. */
const MAX_URL_LENGTH = 8 * 1024;
/** An unwanted body up to this size is read, so that the connection can be used again. */
const MAX_DRAIN_BYTES = 16 * 1024;

export interface HttpRequest {
  readonly url: URL;
  /** Who named it, when that was not the user. */
  readonly namedBy?: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** For the origin of `url` alone; a redirect to another one goes without. */
  readonly authorization?: string | undefined;
  /** Sent by POST; a redirect is then an error. */
  readonly form?: URLSearchParams;
  /** Plain HTTP beyond this machine was asked for. */
  readonly allowPlainHttp: boolean;
  /** What is asked for, for messages. */
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpResponse {
  readonly status: number;
  /** One line of the header, in lower case; the first if there are several. */
  header(name: string): string | undefined;
  headerLines(name: string): string[];
  /** Not yet read; end it by reading it all, or by `discard`. */
  readonly body: Dispatcher.ResponseData["body"];
  /** Where the answer came from. */
  readonly url: URL;
  /** It came from another origin than was asked: nothing in it is the registry's word. */
  readonly isForeign: boolean;
}

/** Throws MSB_ERR_REGISTRY_UNAVAILABLE (network), MSB_ERR_REGISTRY (what is not allowed), MSB_ERR_ABORTED. */
export async function exchange(
  connections: Connections,
  asked: HttpRequest,
): Promise<HttpResponse> {
  let url = asked.url;
  // Once another origin was visited the credentials stay at home, also on the way back.
  let isForeign = false;
  checkPlainHttp(url, asked.namedBy, asked);
  for (let redirects = 0; ; redirects++) {
    const response = await send(connections, asked, url, isForeign);
    if (!REDIRECTS.has(response.status)) return response;
    discard(response);
    const location = response.header("location");
    if (location === undefined) return response;
    if (asked.form !== undefined) throw refused(asked, url, "it redirects a POST");
    if (redirects >= MAX_REDIRECTS) {
      throw refused(asked, url, `it redirects more than ${MAX_REDIRECTS} times`);
    }
    const next = redirectTarget(location, url, asked);
    isForeign ||= next.origin !== url.origin;
    url = next;
  }
}

async function send(
  connections: Connections,
  asked: HttpRequest,
  url: URL,
  isForeign: boolean,
): Promise<HttpResponse> {
  const { authorization, form, signal } = asked;
  throwIfAborted(signal, asked.what);
  const headers = {
    "user-agent": "msb-ts",
    // A body that is packed on its way would not have the digest that was asked for.
    "accept-encoding": "identity",
    ...asked.headers,
    ...(form === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" }),
    ...(authorization === undefined || isForeign ? {} : { authorization }),
  };
  try {
    const answer = await request(url, {
      dispatcher: connections.dispatcherFor(url),
      method: form === undefined ? "GET" : "POST",
      headers,
      ...(form === undefined ? {} : { body: form.toString() }),
      ...(signal === undefined ? {} : { signal }),
    });
    return responseOf(answer, url, isForeign);
  } catch (error) {
    if (signal?.aborted) throw abortReason(signal, asked.what);
    throw networkError(error, url);
  }
}

function responseOf(answer: Dispatcher.ResponseData, url: URL, isForeign: boolean): HttpResponse {
  // Errors are the reader's; without one they are nobody's, and must not end the process.
  answer.body.on("error", () => {});
  const headerLines = (name: string): string[] => [answer.headers[name] ?? []].flat();
  return {
    status: answer.statusCode,
    header: (name) => headerLines(name)[0],
    headerLines,
    body: answer.body,
    url,
    isForeign,
  };
}

/** Ends a response whose body is not wanted. */
export function discard({ body }: HttpResponse): void {
  body.dump({ limit: MAX_DRAIN_BYTES }).catch(() => {});
}

/** The whole body. Throws what `tooLong` gives when it has more than `maxBytes`. */
export async function readBody(
  response: HttpResponse,
  maxBytes: number,
  opts: { tooLong: () => MsbError; what: string; signal?: AbortSignal | undefined },
): Promise<Buffer> {
  if (Number(response.header("content-length")) > maxBytes) {
    response.body.destroy();
    throw opts.tooLong();
  }
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > maxBytes) throw opts.tooLong();
      chunks.push(chunk);
    }
  } catch (error) {
    if (opts.signal?.aborted) throw abortReason(opts.signal, opts.what);
    throw networkError(error, response.url);
  }
  return Buffer.concat(chunks);
}

function redirectTarget(location: string, from: URL, asked: HttpRequest): URL {
  const next =
    location.length <= MAX_URL_LENGTH && URL.canParse(location, from.href)
      ? new URL(location, from)
      : undefined;
  if (next === undefined) throw refused(asked, from, "it redirects to what is no URL");
  if (next.protocol !== "https:" && next.protocol !== "http:") {
    const scheme = printable(next.protocol.slice(0, 20));
    throw refused(asked, from, `it redirects to ${scheme}, only http: and https: are followed`);
  }
  if (next.username !== "" || next.password !== "") {
    throw refused(asked, from, "it redirects to a URL with a user name in it");
  }
  checkPlainHttp(next, from, asked);
  return next;
}

/** Plain HTTP stays on this machine, unless the user asked for more; and nothing leads from https to it. */
function checkPlainHttp(url: URL, from: URL | undefined, asked: HttpRequest): void {
  if (url.protocol !== "http:") return;
  if (isLoopbackHost(url.hostname) && (from === undefined || isLoopbackHost(from.hostname))) return;
  if (asked.allowPlainHttp && from?.protocol !== "https:") return;
  const host = from?.host ?? url.host;
  throw new MsbError(
    "MSB_ERR_REGISTRY",
    `${printable(asked.what)} would come without encryption, from ${redactUrl(url)}, and is not fetched from ` +
      "there. " +
      (from?.protocol === "https:"
        ? "A registry that uses https must not lead to http."
        : `If that is wanted, give the option plainHttp, or set "plainHttp": true under registries["${host}"] ` +
          "in settings.json."),
    { details: { url: redactUrl(url) } },
  );
}

function refused({ what }: HttpRequest, from: URL, why: string): MsbError {
  return new MsbError(
    "MSB_ERR_REGISTRY",
    `${printable(what)} cannot be had from ${redactUrl(from)}: ${why}. Ask whoever runs the registry, or what is ` +
      "between it and this machine.",
    { details: { url: redactUrl(from) } },
  );
}
