/** Where the server is and what opens it: option, then MSB_* variable, then default. */
import { sdkError } from "./errors.js";

export const DEFAULT_SERVER_URL = "http://127.0.0.1:5555";

export interface ClientOpts {
  /** Address of the server. Default: `MSB_SERVER_URL`, or `http://127.0.0.1:5555`. */
  readonly serverUrl?: string | undefined;
  /** A key as `msb-ts server keygen` gives it. Default: `MSB_API_KEY`, or none. */
  readonly apiKey?: string | undefined;
  /** In place of the global `fetch`, as for a proxy or in a test. */
  readonly fetch?: typeof fetch | undefined;
}

export interface ClientSettings {
  /** Without a slash at its end. */
  readonly serverUrl: string;
  readonly apiKey: string | undefined;
  readonly fetch: typeof fetch;
}

/** Throws MSB_ERR_INVALID_ARGUMENT. */
export function clientSettings(opts: ClientOpts = {}): ClientSettings {
  const serverUrl = opts.serverUrl ?? envVariable("MSB_SERVER_URL") ?? DEFAULT_SERVER_URL;
  const apiKey = opts.apiKey ?? envVariable("MSB_API_KEY");
  return {
    serverUrl: checkedUrl(serverUrl),
    apiKey: apiKey === undefined || apiKey === "" ? undefined : checkedKey(apiKey),
    // Some runtimes want it to be called as a function of their own global object.
    fetch: opts.fetch ?? ((input, init) => globalThis.fetch(input, init)),
  };
}

function checkedUrl(text: string): string {
  const problem = urlProblem(text);
  if (problem === null) return text.replace(/\/+$/, "");
  throw sdkError(
    "MSB_ERR_INVALID_ARGUMENT",
    `serverUrl (MSB_SERVER_URL) ${problem}. It looks like ${DEFAULT_SERVER_URL}.`,
    { details: { option: "serverUrl" } },
  );
}

function urlProblem(text: string): string | null {
  if (!URL.canParse(text)) return "is no address";
  const { protocol, username, password, search, hash } = new URL(text);
  if (protocol !== "http:" && protocol !== "https:") return "must begin with http:// or https://";
  if (username !== "" || password !== "") return "must not have a user or a password in it";
  return search === "" && hash === "" ? null : "must end with its path";
}

/** The text of a key is in no message. */
function checkedKey(key: string): string {
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw sdkError(
    "MSB_ERR_INVALID_ARGUMENT",
    "apiKey (MSB_API_KEY) has white space or other characters in it that no key has.",
    { details: { option: "apiKey" } },
  );
}

interface Runtimes {
  readonly process?: { readonly env?: Readonly<Record<string, string | undefined>> };
  readonly Deno?: { readonly env?: { readonly get: (name: string) => string | undefined } };
}

/** Undefined also for an empty one, and where there are none or they may not be read: browsers, Deno. */
function envVariable(name: string): string | undefined {
  const { process, Deno } = globalThis as Runtimes;
  try {
    return (process?.env?.[name] ?? Deno?.env?.get(name))?.trim() || undefined;
  } catch {
    return undefined;
  }
}
