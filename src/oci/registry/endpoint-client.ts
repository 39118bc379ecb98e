/** GET from one endpoint: with whatever authorization it wants, and its refusals as our errors. */
import type { Env } from "../../config.js";
import { MsbError } from "../../errors.js";
import type { Settings } from "../../settings.js";
import { printable } from "../../util/printable.js";
import { Authorizer, type Authorization } from "./authorizer.js";
import { parseChallenges } from "./challenge.js";
import { type Connections, openConnections, type Timeouts } from "./dispatcher.js";
import type { Endpoint } from "./endpoint.js";
import { redactUrl } from "./redact.js";
import type { Clock } from "./retry.js";
import { statusError } from "./status-error.js";
import { discard, exchange, type HttpResponse } from "./transport.js";

export interface GetRequest {
  readonly repository: string;
  /** After the repository: `manifests/latest`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Statuses that are answers; all others are errors. */
  readonly statuses: readonly number[];
  /** For messages: `The manifest of …`. */
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
}

export interface EndpointClientOpts {
  readonly settings: Settings;
  readonly env: Env;
  readonly timeouts: Timeouts;
  readonly clock: Clock;
  /** Ends everything. */
  readonly closed: AbortSignal;
  /** What tests replace to go without a network. */
  readonly openConnections?: typeof openConnections | undefined;
}

export class EndpointClient implements AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly #connections: Connections;
  readonly #authorizer: Authorizer;
  readonly #opts: EndpointClientOpts;

  private constructor(endpoint: Endpoint, connections: Connections, opts: EndpointClientOpts) {
    this.endpoint = endpoint;
    this.#connections = connections;
    this.#opts = opts;
    this.#authorizer = new Authorizer({ ...opts, endpoint, connections });
  }

  static async open(endpoint: Endpoint, opts: EndpointClientOpts): Promise<EndpointClient> {
    const { env, timeouts } = opts;
    const connections = await (opts.openConnections ?? openConnections)({
      env,
      timeouts,
      caFile: endpoint.caFile,
    });
    return new EndpointClient(endpoint, connections, opts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connections.destroy();
  }

  /** One try, two when the registry wants to know who asks. */
  async get(asked: GetRequest): Promise<HttpResponse> {
    const repository = this.endpoint.folder + asked.repository;
    let authorization = this.#authorizer.current(repository);
    let response = await this.#send(asked, repository, authorization);
    // Only the registry itself may ask for credentials, not where it sends us.
    if (response.status === 401 && !response.isForeign) {
      const challenges = parseChallenges(response.headerLines("www-authenticate"));
      discard(response);
      const { what, signal } = asked;
      const refused = authorization;
      authorization = await this.#authorizer.answer(challenges, repository, {
        refused,
        what,
        signal,
      });
      response = await this.#send(asked, repository, authorization);
    }
    if (!asked.statuses.includes(response.status))
      throw await this.#error(response, asked, authorization);
    refusePacked(response, asked.what);
    return response;
  }

  #send(
    asked: GetRequest,
    repository: string,
    authorization: Authorization | undefined,
  ): Promise<HttpResponse> {
    const { what, headers, path, signal } = asked;
    return exchange(this.#connections, {
      url: new URL(`/v2/${repository}/${path}`, this.endpoint.base),
      headers,
      authorization: authorization?.value,
      allowPlainHttp: this.endpoint.allowPlainHttp,
      what,
      signal,
    });
  }

  async #error(
    response: HttpResponse,
    asked: GetRequest,
    authorization: Authorization | undefined,
  ): Promise<MsbError> {
    const isRefused = response.status === 401 || response.status === 403;
    return statusError(response, {
      what: asked.what,
      registry: this.endpoint.registry,
      from: "registry",
      secrets: authorization?.secrets ?? [],
      hint: isRefused ? await this.#authorizer.hint() : "",
      nowMs: this.#opts.clock.now(),
      signal: asked.signal,
    });
  }
}

/** A body in another coding than was asked for has other bytes than the digest is of. */
function refusePacked(response: HttpResponse, what: string): void {
  const coding = response.header("content-encoding");
  if (coding === undefined || coding.toLowerCase() === "identity") return;
  response.body.destroy();
  throw new MsbError(
    "MSB_ERR_REGISTRY",
    `${what} comes packed as ${printable(coding.slice(0, 40))}, which was not asked for. Ask whoever runs the ` +
      "registry, or what is between it and this machine.",
    { details: { url: redactUrl(response.url) } },
  );
}
