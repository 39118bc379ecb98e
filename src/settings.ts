/**
 * `$MSB_HOME/settings.json`: what the user set for good. Unknown keys are errors, because a misspelt one would be
 * a setting that silently does nothing. Nothing of the file's values is repeated in a message: it may hold passwords.
 */
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value, type ValueError, ValueErrorType } from "@sinclair/typebox/value";
import { MsbError } from "./errors.js";
import type { MsbPaths } from "./paths.js";
import { isHostPort } from "./util/host-port.js";
import { printable } from "./util/printable.js";
import { readSmallFile, sharedSecret } from "./util/small-file.js";

const MAX_SETTINGS_BYTES = 1024 ** 2;
const MAX_MIRRORS = 16;

const Word = Type.String({ minLength: 1, maxLength: 64 * 1024 });

const RegistrySchema = Type.Object(
  {
    username: Type.Optional(Word),
    password: Type.Optional(Word),
    /** A file with the password alone; a line feed at its end does not count. */
    passwordFile: Type.Optional(Word),
    /** An OAuth2 refresh token, as `docker login` gets from some registries. */
    identityToken: Type.Optional(Word),
    /** true: HTTP without TLS. false: TLS also on loopback, where plain HTTP is the default. */
    plainHttp: Type.Optional(Type.Boolean()),
    /** `[http://|https://]host[:port][/folder]`, tried in this order before the registry itself. */
    mirrors: Type.Optional(Type.Array(Word, { maxItems: MAX_MIRRORS })),
    /** Certificates (PEM) to trust for this registry, besides the usual ones. */
    caFile: Type.Optional(Word),
  },
  { additionalProperties: false },
);

const SettingsSchema = Type.Object(
  {
    /** By host[:port]; Docker Hub is `docker.io`. */
    registries: Type.Optional(Type.Record(Type.String(), RegistrySchema)),
    /** What an image name without a tag stands for. */
    imageAliases: Type.Optional(Type.Record(Type.String(), Word)),
    /** For image names without a host. */
    defaultRegistry: Type.Optional(Word),
  },
  { additionalProperties: false },
);

export type RegistrySettings = Readonly<Static<typeof RegistrySchema>>;

export interface Settings {
  /** By host[:port] in lower case; paths in it are absolute. */
  readonly registries: Readonly<Record<string, RegistrySettings>>;
  readonly imageAliases: Readonly<Record<string, string>>;
  readonly defaultRegistry?: string;
}

export const EMPTY_SETTINGS: Settings = Object.freeze({
  registries: recordOf<RegistrySettings>([]),
  imageAliases: recordOf<string>([]),
});

/** The settings of this MSB_HOME; empty ones when there is no file. Throws MSB_ERR_SETTINGS_INVALID. */
export async function readSettings(paths: MsbPaths): Promise<Settings> {
  const path = paths.settingsFile;
  const file = await readSmallFile(path, MAX_SETTINGS_BYTES);
  if (file === undefined) return EMPTY_SETTINGS;
  const settings = parseSettings(file.bytes, path);
  const hasSecrets = Object.values(settings.registries).some(
    ({ password, identityToken }) => password !== undefined || identityToken !== undefined,
  );
  if (hasSecrets && file.isShared) throw sharedSecret(path, "passwords");
  return settings;
}

/** `path` is for messages. Throws MSB_ERR_SETTINGS_INVALID. */
export function parseSettings(bytes: Uint8Array, path: string): Settings {
  const json = parseJson(bytes, path);
  const [wrong] = Value.Errors(SettingsSchema, json);
  if (wrong !== undefined) throw invalid(path, ...explained(wrong));
  const {
    registries = {},
    imageAliases = {},
    defaultRegistry,
  } = json as Static<typeof SettingsSchema>;
  return {
    registries: checkedRegistries(registries, path),
    imageAliases: recordOf(Object.entries(imageAliases)),
    ...(defaultRegistry === undefined
      ? {}
      : { defaultRegistry: checkedHost(defaultRegistry, "defaultRegistry", path) }),
  };
}

function parseJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    // The parser's own message quotes the text; only where it stopped can be told.
    const [, position] = /at position (\d+)/.exec(String(error)) ?? [];
    const before = new TextDecoder().decode(bytes).slice(0, Number(position));
    const line = position === undefined ? "" : ` (line ${before.split("\n").length})`;
    throw invalid(path, "the file", `is not JSON in UTF-8${line}`);
  }
}

function checkedRegistries(
  registries: Readonly<Record<string, RegistrySettings>>,
  path: string,
): Record<string, RegistrySettings> {
  const checked = new Map<string, RegistrySettings>();
  for (const [key, registry] of Object.entries(registries)) {
    const where = `registries["${shown(key)}"]`;
    const host = checkedHost(key, where, path);
    if (checked.has(host)) throw invalid(path, where, "is there twice, in two spellings");
    checked.set(host, checkedRegistry(registry, where, path));
  }
  return recordOf(checked);
}

/** Without a prototype: a name such as `constructor` must not be found in it. */
function recordOf<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  return Object.assign(Object.create(null) as Record<string, T>, Object.fromEntries(entries));
}

function checkedHost(text: string, where: string, path: string): string {
  if (!isHostPort(text)) {
    throw invalid(path, where, "is not a host or host:port; Docker Hub is docker.io");
  }
  const lower = text.toLowerCase();
  return lower === "index.docker.io" || lower === "registry-1.docker.io" ? "docker.io" : lower;
}

function checkedRegistry(
  registry: RegistrySettings,
  where: string,
  path: string,
): RegistrySettings {
  const { username, password, passwordFile, identityToken, mirrors = [] } = registry;
  const secrets = [password, passwordFile, identityToken].filter((secret) => secret !== undefined);
  if (secrets.length > 1) {
    throw invalid(path, where, "has more than one of password, passwordFile and identityToken");
  }
  if (username === undefined && (password ?? passwordFile) !== undefined) {
    throw invalid(path, where, "has a password without a username");
  }
  if (username !== undefined && secrets.length === 0) {
    throw invalid(path, where, "has a username without password, passwordFile or identityToken");
  }
  if (username?.includes(":")) throw invalid(path, `${where}.username`, "may have no colon");
  for (const [index, mirror] of mirrors.entries()) {
    if (!isMirror(mirror)) {
      throw invalid(path, `${where}.mirrors[${index}]`, "is not [https://]host[:port][/folder]");
    }
  }
  return {
    ...registry,
    ...absolute("passwordFile", registry, where, path),
    ...absolute("caFile", registry, where, path),
  };
}

function isMirror(text: string): boolean {
  const [, host, folder] = /^(?:https?:\/\/)?([^/]+)(\/.*)?$/.exec(text) ?? [];
  return (
    host !== undefined &&
    isHostPort(host) &&
    /^(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*\/?$/.test(folder ?? "")
  );
}

function absolute(
  key: "passwordFile" | "caFile",
  registry: RegistrySettings,
  where: string,
  path: string,
): Partial<RegistrySettings> {
  const file = registry[key];
  if (file === undefined) return {};
  if (file.startsWith("~/")) return { [key]: join(homedir(), file.slice(2)) };
  if (!isAbsolute(file)) throw invalid(path, `${where}.${key}`, "must begin with / or ~/");
  return { [key]: file };
}

/** Where it is wrong, and how. */
function explained(error: ValueError): [string, string] {
  const keys = error.path.split("/").slice(1);
  const names = keys.map((key) => shown(key.replaceAll("~1", "/").replaceAll("~0", "~")));
  const where = names.map((name, depth) => (depth === 0 ? name : `["${name}"]`)).join("");
  if (error.type === ValueErrorType.ObjectAdditionalProperties) {
    const isRegistry = names.length > 1;
    const known = Object.keys((isRegistry ? RegistrySchema : SettingsSchema).properties);
    return [where, `is not a setting; known here are ${known.join(", ")}`];
  }
  return [where || "the file", `is wrong: ${error.message.toLowerCase()}`];
}

function shown(key: string): string {
  return printable(key.slice(0, 100));
}

function invalid(path: string, where: string, why: string): MsbError {
  return new MsbError("MSB_ERR_SETTINGS_INVALID", `In ${path}, ${where} ${why}.`, {
    details: { path, setting: where },
  });
}
