/**
 * What to put into Authorization for one endpoint: learnt from its challenges, kept for a repository as long as
 * it holds, asked for once however many requests wait for it.
 */
import type { Env } from "../../config.js";
import { MsbError } from "../../errors.js";
import type { Settings } from "../../settings.js";
import { abortable, SingleFlight } from "../../util/async.js";
import { printable } from "../../util/printable.js";
import type { Challenge } from "./challenge.js";
import { basicOf, type CredentialLookup, type Credentials, secretsOf } from "./credentials.js";
import { findCredentials } from "./find-credentials.js";
import type { Connections, Timeouts } from "./dispatcher.js";
import type { Endpoint } from "./endpoint.js";
import type { Clock } from "./retry.js";
import { fetchToken } from "./token.js";

/** A token that runs out within this time is not used any more; a request takes time, too. */
const EXPIRY_MARGIN_MS = 5_000;
/** Files and helpers are not asked again within this time. */
const LOOKUP_LIFETIME_MS = 30_000;

export interface Authorization {
  /** The header's value. */
  readonly value: string;
  /** Texts that must not be shown when they come back in an answer. */
  readonly secrets: readonly string[];
  /** By the clock that was given. */
  readonly expiresAtMs: number;
}

export interface AuthorizerOpts {
  readonly endpoint: Endpoint;
  readonly connections: Connections;
  readonly settings: Settings;
  readonly env: Env;
  readonly timeouts: Timeouts;
  readonly clock: Clock;
  /** Ends what is under way for everybody. */
  readonly closed: AbortSignal;
}

export class Authorizer {
  readonly #opts: AuthorizerOpts;
  readonly #byRepository = new Map<string, Authorization>();
  readonly #flights = new SingleFlight<Authorization>();
  #lookup: { readonly result: Promise<CredentialLookup>; readonly untilMs: number } | undefined;

  constructor(opts: AuthorizerOpts) {
    this.#opts = opts;
  }

  /** What worked before and still holds; undefined to ask without. */
  current(repository: string): Authorization | undefined {
    const known = this.#byRepository.get(repository);
    if (known === undefined) return undefined;
    return known.expiresAtMs > this.#opts.clock.now() ? known : undefined;
  }

  /**
   * The answer to the challenges of a 401. `refused` is what that request was sent with; it is not given again.
   * Throws MSB_ERR_REGISTRY_AUTH when there is nothing else to answer.
   */
  async answer(
    challenges: readonly Challenge[],
    repository: string,
    opts: { refused: Authorization | undefined; what: string; signal?: AbortSignal | undefined },
  ): Promise<Authorization> {
    const { refused, what, signal } = opts;
    const current = this.current(repository);
    // Another request may have been through all this meanwhile.
    if (current !== undefined && current.value !== refused?.value) return current;
    // Nobody's signal ends what others wait for, too.
    const flight = this.#flights.run(repository, async () => {
      const authorization = await this.#authorize(challenges, repository, refused, what);
      this.#byRepository.set(repository, authorization);
      return authorization;
    });
    return abortable(flight, signal, what);
  }

  /** What to do about missing or refused credentials, for people. */
  async hint(): Promise<string> {
    const { registry } = this.#opts.endpoint;
    const { credentials, source, problems } = await this.#credentials();
    const trouble = problems.map((problem) => `${problem.replace(/\.$/, "")}.`).join(" ");
    const advice =
      credentials === undefined
        ? `There are no credentials for ${registry} in ${source}: run docker login ${registry}, or put them under ` +
          `registries["${registry}"] in settings.json.`
        : `The credentials for ${registry} are from ${source}: check that they are right, and that they may read ` +
          "the image.";
    return [printable(trouble.slice(0, 600)), advice].filter((part) => part !== "").join(" ");
  }

  async #authorize(
    challenges: readonly Challenge[],
    repository: string,
    refused: Authorization | undefined,
    what: string,
  ): Promise<Authorization> {
    const bearer = challenges.find(
      ({ scheme, params }) => scheme === "bearer" && params.has("realm"),
    );
    if (bearer !== undefined) return this.#bearer(bearer, repository);
    if (!challenges.some(({ scheme }) => scheme === "basic")) {
      throw unknownChallenge(challenges, this.#opts.endpoint.registry, what);
    }
    const { credentials } = await this.#credentials();
    const basic = credentials?.kind === "password" ? basicAuthorization(credentials) : undefined;
    if (basic !== undefined && basic.value !== refused?.value) return basic;
    const { registry } = this.#opts.endpoint;
    const reason = basic === undefined ? "needs a user name and password" : "refuses the password";
    throw new MsbError(
      "MSB_ERR_REGISTRY_AUTH",
      `${what} cannot be had: ${registry} ${reason}. ${await this.hint()}`,
      { details: { registry } },
    );
  }

  async #bearer(challenge: Challenge, repository: string): Promise<Authorization> {
    const { endpoint, connections, timeouts, clock, closed } = this.#opts;
    const { credentials } = await this.#credentials();
    // Counted from before the request: the lifetime may have begun then.
    const nowMs = clock.now();
    const { token, lifetimeMs } = await fetchToken({
      challenge,
      defaultScope: `repository:${repository}:pull`,
      credentials,
      endpoint,
      connections,
      timeouts,
      nowMs,
      hint: await this.hint(),
      signal: closed,
    });
    return {
      value: `Bearer ${token}`,
      secrets: [token, ...secretsOf(credentials)],
      expiresAtMs: nowMs + lifetimeMs - Math.min(EXPIRY_MARGIN_MS, lifetimeMs / 2),
    };
  }

  /**
   * Looked up when the registry asks, not before: a helper may ask the user. Not kept for long: after an error
   * people log in and try again.
   */
  async #credentials(): Promise<CredentialLookup> {
    const { endpoint, settings, env, clock } = this.#opts;
    const nowMs = clock.now();
    if (this.#lookup === undefined || this.#lookup.untilMs <= nowMs) {
      const result = findCredentials(endpoint.registry, { settings, env });
      this.#lookup = { result, untilMs: nowMs + LOOKUP_LIFETIME_MS };
    }
    return this.#lookup.result;
  }
}

function basicAuthorization(
  credentials: Extract<Credentials, { kind: "password" }>,
): Authorization {
  return {
    value: `Basic ${basicOf(credentials)}`,
    secrets: secretsOf(credentials),
    expiresAtMs: Number.POSITIVE_INFINITY,
  };
}

function unknownChallenge(
  challenges: readonly Challenge[],
  registry: string,
  what: string,
): MsbError {
  const schemes = challenges.map(({ scheme }) => printable(scheme.slice(0, 30))).slice(0, 4);
  const asks = schemes.length === 0 ? "without saying how" : `by ${schemes.join(", ")}`;
  return new MsbError(
    "MSB_ERR_REGISTRY_AUTH",
    `${what} cannot be had: ${registry} wants to know who asks, ${asks}; only Bearer and Basic are understood. ` +
      "Check that this is a registry of container images.",
    { details: { registry } },
  );
}
