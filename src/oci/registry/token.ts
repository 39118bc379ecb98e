/**
 * Bearer tokens of a registry's authorization service (distribution's spec/auth: token.md for GET, oauth.md for
 * POST with a refresh token).
 */
import { MsbError } from "../../errors.js";
import { printable } from "../../util/printable.js";
import type { Challenge } from "./challenge.js";
import { basicOf, type Credentials, secretsOf } from "./credentials.js";
import { deadline } from "./deadline.js";
import type { Connections, Timeouts } from "./dispatcher.js";
import type { Endpoint } from "./endpoint.js";
import { redactUrl } from "./redact.js";
import { statusError } from "./status-error.js";
import { exchange, type HttpResponse, readBody } from "./transport.js";

const CLIENT_ID = "msb-ts";
const MAX_TOKEN_ANSWER_BYTES = 256 * 1024;
/** What the specification says when the service does not. */
const DEFAULT_LIFETIME_S = 60;
const MAX_LIFETIME_S = 24 * 3600;

export interface Token {
  readonly token: string;
  readonly lifetimeMs: number;
}

export interface TokenRequest {
  readonly challenge: Challenge;
  /** Asked for when the challenge names none. */
  readonly defaultScope: string;
  readonly credentials: Credentials | undefined;
  readonly endpoint: Endpoint;
  readonly connections: Connections;
  readonly timeouts: Timeouts;
  readonly nowMs: number;
  /** Where credentials are from or were looked for, for the error about them. */
  readonly hint: string;
  readonly signal: AbortSignal;
}

/** Throws MSB_ERR_REGISTRY_AUTH, MSB_ERR_REGISTRY, MSB_ERR_REGISTRY_UNAVAILABLE. */
export async function fetchToken(asked: TokenRequest): Promise<Token> {
  const { credentials, endpoint } = asked;
  const { registry, allowPlainHttp } = endpoint;
  const what = `A token for ${registry}`;
  using limit = deadline(asked.timeouts.documentMs, what, asked.signal);
  const { signal } = limit;
  const realm = realmOf(asked.challenge, registry);
  const common = { namedBy: endpoint.base, allowPlainHttp, what, signal };
  const response = await exchange(
    asked.connections,
    credentials?.kind === "identityToken"
      ? { ...common, url: realm, form: refreshForm(asked, credentials.token) }
      : { ...common, url: tokenUrl(realm, asked), ...basicHeader(credentials) },
  );
  const secrets = secretsOf(credentials);
  if (response.status !== 200) {
    const { hint, nowMs } = asked;
    const from = "token service";
    throw await statusError(response, { what, registry, from, secrets, hint, nowMs, signal });
  }
  const body = await readAnswer(response, what, signal);
  const token = body["token"] ?? body["access_token"];
  if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token)) {
    throw broken(response.url, "its answer has no token that can be used");
  }
  return { token, lifetimeMs: lifetimeOf(body["expires_in"]) * 1000 };
}

function realmOf({ params }: Challenge, registry: string): URL {
  const text = params.get("realm") ?? "";
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isUsable =
    (url?.protocol === "https:" || url?.protocol === "http:") &&
    url.username === "" &&
    url.password === "";
  if (url !== undefined && isUsable) return url;
  throw new MsbError(
    "MSB_ERR_REGISTRY",
    `The registry ${registry} asks for a token from "${shownRealm(text)}", which is not an http(s) URL without a ` +
      "user name. Ask whoever runs it.",
    { details: { registry } },
  );
}

function shownRealm(text: string): string {
  return printable(text.slice(0, 200))
    .replace(/\?.*$/s, "?…")
    .replace(/\/\/[^/]*@/, "//***@");
}

function tokenUrl(realm: URL, { challenge, defaultScope, credentials }: TokenRequest): URL {
  const url = new URL(realm);
  const service = challenge.params.get("service");
  if (service !== undefined) url.searchParams.set("service", service);
  // Several scopes come in one parameter and leave in several.
  for (const scope of scopesOf(challenge, defaultScope)) url.searchParams.append("scope", scope);
  if (credentials?.kind === "password") url.searchParams.set("account", credentials.username);
  return url;
}

function refreshForm({ challenge, defaultScope }: TokenRequest, token: string): URLSearchParams {
  return new URLSearchParams({
    grant_type: "refresh_token",
    client_id: CLIENT_ID,
    service: challenge.params.get("service") ?? "",
    scope: scopesOf(challenge, defaultScope).join(" "),
    refresh_token: token,
  });
}

function scopesOf({ params }: Challenge, defaultScope: string): string[] {
  const scopes = (params.get("scope") ?? "").split(" ").filter((scope) => scope !== "");
  return scopes.length === 0 ? [defaultScope] : scopes;
}

function basicHeader(credentials: Credentials | undefined): { authorization?: string } {
  if (credentials?.kind !== "password") return {};
  return { authorization: `Basic ${basicOf(credentials)}` };
}

async function readAnswer(
  response: HttpResponse,
  what: string,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  const tooLong = (): MsbError =>
    broken(response.url, `its answer has more than ${MAX_TOKEN_ANSWER_BYTES} bytes`);
  const bytes = await readBody(response, MAX_TOKEN_ANSWER_BYTES, { tooLong, what, signal });
  try {
    const json = JSON.parse(bytes.toString("utf8")) as unknown;
    if (typeof json === "object" && json !== null) return json as Record<string, unknown>;
  } catch {
    // The parser's message would quote what may be a token.
  }
  throw broken(response.url, "its answer is not a JSON object");
}

function lifetimeOf(seconds: unknown): number {
  if (typeof seconds !== "number" || !(seconds > 0)) return DEFAULT_LIFETIME_S;
  return Math.min(seconds, MAX_LIFETIME_S);
}

function broken(url: URL, why: string): MsbError {
  return new MsbError(
    "MSB_ERR_REGISTRY",
    `The authorization service ${redactUrl(url)} is broken: ${why}.`,
    { details: { url: redactUrl(url) } },
  );
}
