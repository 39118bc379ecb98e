/** Requests to a server by plain fetch: its errors, and answers that come record by record. */
import type { StreamFailure } from "../api/schema.js";
import { isMsbError, type MsbError } from "../errors.js";
import { settlesWithin } from "../util/async.js";
import { bodyText, isJson } from "./answer-body.js";
import {
  answerError,
  type AnswerSource,
  failureError,
  incompatible,
  isObject,
} from "./answer-errors.js";
import { type CallOpts, CallSignal } from "./call-signal.js";
import type { ClientSettings } from "./client-settings.js";
import { connectionError, cutOffError } from "./connection-errors.js";
import { EventStream, EventTooLarge } from "./event-stream.js";

export type { CallOpts } from "./call-signal.js";

const API = "/api/v1";
/** The server's own limits are well below. */
const MAX_RECORD_BYTES = 64 * 1024 ** 2;
/** The answer's end comes with its last record; waiting for it lets the connection be used again. */
const END_MS = 1_000;
const FAILURE = "failure";
const LAST_TYPES: ReadonlySet<string> = new Set(["end", "done"]);

/** Lists are repeated; undefined is left out. */
export type QueryValue = string | number | boolean | readonly string[] | undefined;

export interface ApiRequest {
  readonly method: "GET" | "POST" | "DELETE";
  /** Below /api/v1, encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, QueryValue>>;
  /** Undefined for none; null is a body. */
  readonly body?: unknown;
  /** Is it what a server of ours answers? Others speak JSON, too. Default: whatever it is. */
  readonly isAnswer?: (document: unknown) => boolean;
}

/** What a stream says, with the name of its event. */
export interface NamedData {
  readonly event: string | undefined;
  readonly data: unknown;
}

export class Transport {
  readonly #settings: ClientSettings;

  constructor(settings: ClientSettings) {
    this.#settings = settings;
  }

  /** The answer's document; undefined when it has none. */
  async json<T>(request: ApiRequest, opts: CallOpts = {}): Promise<T> {
    const source = this.#source(request);
    return this.#call(source, opts, async (call) => {
      const response = await this.#send(request, source, { call, accept: "application/json" });
      if (response.status === 204) return undefined as T;
      if (!isJson(response)) throw notJson(response, source);
      const { text, isCut } = await bodyText(response, MAX_RECORD_BYTES);
      if (isCut) throw tooLarge(source);
      const document = parsedJson(text, source);
      if (request.isAnswer?.(document) === false) {
        throw incompatible("answers with JSON that says something else", source);
      }
      return document as T;
    });
  }

  /**
   * The records of an answer but for `failure`, which is thrown. Ends with the record `end` or `done`; an answer that
   * ends without is MSB_ERR_SERVER_UNREACHABLE. A reader that stops early closes the connection.
   */
  async *records<T extends { readonly type: string }>(
    request: ApiRequest,
    opts: CallOpts = {},
  ): AsyncGenerator<Exclude<T, StreamFailure>> {
    const source = this.#source(request);
    for await (const { data } of this.#events(request, opts, isLast)) {
      if (!isRecord(data)) throw incompatible("sends what is no record", source);
      yield data as Exclude<T, StreamFailure>;
      if (isLast(data)) return;
    }
    throw cutOffError(this.#settings.serverUrl);
  }

  /** The events of a stream that ends when the server ends it. */
  events(request: ApiRequest, opts: CallOpts = {}): AsyncGenerator<NamedData> {
    return this.#events(request, opts, () => false);
  }

  async *#events(
    request: ApiRequest,
    opts: CallOpts,
    endsWith: (data: unknown) => boolean,
  ): AsyncGenerator<NamedData> {
    const source = this.#source(request);
    const call = new CallSignal(describe(source), opts);
    let events: EventStream | undefined;
    try {
      const response = await this.#send(request, source, { call, accept: "text/event-stream" });
      if (response.body === null || !isEventStream(response)) throw notEvents(response, source);
      events = new EventStream(response.body, { maxChars: MAX_RECORD_BYTES });
      for (let next = await events.next(); next !== null; next = await events.next()) {
        const data = parsedJson(next.data, source);
        if (next.event === FAILURE && isFailure(data)) throw failureError(data, response);
        if (endsWith(data)) await settlesWithin(events.next(), END_MS).catch(() => {});
        yield { event: next.event, data };
      }
    } catch (thrown) {
      throw this.#failure(thrown, source, call);
    } finally {
      events?.close();
      call.close();
    }
  }

  async #call<T>(
    source: AnswerSource,
    opts: CallOpts,
    work: (call: CallSignal) => Promise<T>,
  ): Promise<T> {
    const call = new CallSignal(describe(source), opts);
    try {
      return await work(call);
    } catch (thrown) {
      throw this.#failure(thrown, source, call);
    } finally {
      call.close();
    }
  }

  async #send(
    { method, path, query, body }: ApiRequest,
    source: AnswerSource,
    { call, accept }: { readonly call: CallSignal; readonly accept: string },
  ): Promise<Response> {
    const { serverUrl, apiKey, fetch } = this.#settings;
    if (call.error !== undefined) throw call.error;
    const response = await fetch(serverUrl + API + path + queryText(query), {
      method,
      // Followed, it could take the key along; and a POST could become a GET.
      redirect: "manual",
      signal: call.signal,
      headers: {
        accept,
        ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw await answerError(response, source);
    return response;
  }

  /** Whatever was thrown, as an MsbError. */
  #failure(thrown: unknown, source: AnswerSource, call: CallSignal): MsbError {
    if (call.error !== undefined) return call.error;
    if (isMsbError(thrown)) return thrown;
    if (thrown instanceof EventTooLarge) return tooLarge(source);
    return connectionError(thrown, this.#settings.serverUrl);
  }

  #source({ method, path }: ApiRequest): AnswerSource {
    return { serverUrl: this.#settings.serverUrl, method, path: API + path };
  }
}

function describe({ serverUrl, method, path }: AnswerSource): string {
  return `${method} ${serverUrl}${path}`;
}

function queryText(query: ApiRequest["query"] = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    const values = Array.isArray(value) ? value : [value];
    for (const one of values) params.append(name, String(one));
  }
  return params.size === 0 ? "" : `?${params}`;
}

function isEventStream(response: Response): boolean {
  return /^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "");
}

function isRecord(data: unknown): data is { readonly type: string } {
  return isObject(data) && typeof data["type"] === "string";
}

function isLast(data: unknown): boolean {
  return isRecord(data) && LAST_TYPES.has(data.type);
}

function isFailure(data: unknown): data is StreamFailure {
  return isRecord(data) && data.type === FAILURE && isObject((data as StreamFailure).error);
}

function parsedJson(text: string, source: AnswerSource): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw incompatible("sends what is no JSON", source);
  }
}

function notJson(response: Response, source: AnswerSource): MsbError {
  return unexpectedType(response, source, "JSON");
}

function notEvents(response: Response, source: AnswerSource): MsbError {
  return unexpectedType(response, source, "events");
}

function unexpectedType(response: Response, source: AnswerSource, wanted: string): MsbError {
  void response.body?.cancel().catch(() => {});
  const type = response.headers.get("content-type")?.slice(0, 100) ?? "no type";
  return incompatible(`answers with ${type} where ${wanted} should be`, source);
}

function tooLarge(source: AnswerSource): MsbError {
  const maxBytes = MAX_RECORD_BYTES;
  return incompatible(`answers with more than ${maxBytes} bytes at once`, source, { maxBytes });
}
