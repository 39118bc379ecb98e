/**
 * Docker's own credentials: `config.json` in $DOCKER_CONFIG or ~/.docker, and the helpers it names (the protocol
 * of github.com/docker/docker-credential-helpers: `get`, the server on stdin, JSON on stdout). What cannot be
 * read here is a problem to tell about, not an error: most images need no credentials.
 */
import { homedir } from "node:os";
import { join } from "node:path";
import type { Env } from "../../config.js";
import { messageOf } from "../../errors.js";
import { printable } from "../../util/printable.js";
import { findExecutable, runTool } from "../../util/process.js";
import { readSmallFile } from "../../util/small-file.js";
import { DEFAULT_REGISTRY } from "../reference.js";
import type { CredentialLookup, Credentials } from "./credentials.js";

/** Under which Docker keeps the credentials of Docker Hub, to this day. */
const DOCKER_HUB_KEY = "https://index.docker.io/v1/";
const MAX_CONFIG_BYTES = 1024 ** 2;
/** A helper may ask the user for the key of the key ring. */
const HELPER_TIMEOUT_MS = 60_000;
/** The user name of a helper's answer whose secret is an identity token. */
const TOKEN_USER = "<token>";
/** What helpers say, on stdout, when they simply have none. */
const NOT_FOUND = /credentials not found in native keychain/i;

type Json = Readonly<Record<string, unknown>>;

export async function dockerCredentials(registry: string, env: Env): Promise<CredentialLookup> {
  const path = join(
    env["DOCKER_CONFIG"] || join(env["HOME"] || homedir(), ".docker"),
    "config.json",
  );
  const problems: string[] = [];
  const config = await readConfig(path, problems);
  const helper = helperFor(registry, config);
  if (helper !== undefined) {
    const credentials = await askHelper(helper, registry, env, problems);
    if (credentials !== undefined) {
      return { credentials, source: `docker-credential-${helper}`, problems };
    }
  }
  return { credentials: fromAuths(registry, config, path, problems), source: path, problems };
}

async function readConfig(path: string, problems: string[]): Promise<Json> {
  try {
    const file = await readSmallFile(path, MAX_CONFIG_BYTES);
    if (file === undefined) return {};
    const json = parseObject(file.bytes);
    if (json !== undefined) return json;
    problems.push(`${path} is not a JSON object`);
  } catch (error) {
    problems.push(messageOf(error));
  }
  return {};
}

/** undefined for anything else; the parser's message would quote secrets. */
function parseObject(bytes: Uint8Array | string): Json | undefined {
  try {
    return record(JSON.parse(typeof bytes === "string" ? bytes : Buffer.from(bytes).toString()));
  } catch {
    return undefined;
  }
}

function record(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Json)
    : undefined;
}

/** The helper of this registry alone, else the one for all. */
function helperFor(registry: string, config: Json): string | undefined {
  const own = entryFor(registry, record(config["credHelpers"]) ?? {});
  const name = own ?? config["credsStore"];
  return typeof name === "string" && name !== "" ? name : undefined;
}

async function askHelper(
  name: string,
  registry: string,
  env: Env,
  problems: string[],
): Promise<Credentials | undefined> {
  const program = `docker-credential-${printable(name.slice(0, 100))}`;
  // The name comes from a file; a path in it would start any program.
  const path = /^[\w.-]+$/.test(name) ? await findExecutable(program, { env }) : undefined;
  if (path === undefined) {
    problems.push(`${program}, which Docker's config.json names, is not in PATH`);
    return undefined;
  }
  const server = registry === DEFAULT_REGISTRY ? DOCKER_HUB_KEY : registry;
  try {
    const result = await runTool(path, ["get"], {
      input: server,
      env: { ...env },
      timeoutMs: HELPER_TIMEOUT_MS,
    });
    if (result.exitCode === 0) {
      const answer = readAnswer(result.stdout);
      if (answer === undefined) problems.push(`${program} does not answer with credentials`);
      return answer;
    }
    if (!NOT_FOUND.test(result.stdout)) {
      problems.push(`${program} ended with ${result.exitCode ?? result.signal}`);
    }
  } catch (error) {
    problems.push(messageOf(error));
  }
  return undefined;
}

function readAnswer(stdout: string): Credentials | undefined {
  const { Username: username, Secret: secret } = parseObject(stdout) ?? {};
  if (typeof username !== "string" || typeof secret !== "string" || secret === "") return undefined;
  if (username === TOKEN_USER) return { kind: "identityToken", token: secret };
  return passwordOf(username, secret);
}

function fromAuths(
  registry: string,
  config: Json,
  path: string,
  problems: string[],
): Credentials | undefined {
  const entry = record(entryFor(registry, record(config["auths"]) ?? {}));
  if (entry === undefined) return undefined;
  const { identitytoken: token, auth, username, password } = entry;
  if (typeof token === "string" && token !== "") return { kind: "identityToken", token };
  if (typeof auth === "string" && auth !== "") {
    const pair = Buffer.from(auth, "base64").toString("utf8").split("\0", 1)[0]!;
    const colon = pair.indexOf(":");
    const found = passwordOf(pair.slice(0, Math.max(colon, 0)), pair.slice(colon + 1));
    if (found === undefined) problems.push(`the entry for ${registry} in ${path} has no user name`);
    return found;
  }
  return typeof username === "string" && typeof password === "string"
    ? passwordOf(username, password)
    : undefined;
}

function passwordOf(username: string, password: string): Credentials | undefined {
  if (username === "" || username.includes(":") || password === "") return undefined;
  return { kind: "password", username, password };
}

/** Keys are hosts or URLs, with or without a path, as tools of many years wrote them. */
function entryFor(registry: string, entries: Json): unknown {
  const wanted = registry === DEFAULT_REGISTRY ? [DOCKER_HUB_KEY, registry] : [registry];
  for (const key of wanted) if (Object.hasOwn(entries, key)) return entries[key];
  const found = Object.keys(entries).find((key) => hostOf(key) === registry);
  return found === undefined ? undefined : entries[found];
}

function hostOf(key: string): string {
  const host = key
    .replace(/^https?:\/\//, "")
    .replace(/\/.*$/, "")
    .toLowerCase();
  return host === "index.docker.io" ? DEFAULT_REGISTRY : host;
}
