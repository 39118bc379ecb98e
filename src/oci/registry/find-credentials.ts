/** Who to be at a registry: from our settings, else from Docker's configuration. */
import type { Env } from "../../config.js";
import { MsbError } from "../../errors.js";
import type { RegistrySettings, Settings } from "../../settings.js";
import { readSmallFile, sharedSecret } from "../../util/small-file.js";
import type { CredentialLookup, Credentials } from "./credentials.js";
import { dockerCredentials } from "./docker-config.js";

const MAX_PASSWORD_BYTES = 64 * 1024;

/** Throws MSB_ERR_SETTINGS_INVALID when our own settings name a password file that cannot be used. */
export async function findCredentials(
  registry: string,
  opts: { settings: Settings; env: Env },
): Promise<CredentialLookup> {
  const own = opts.settings.registries[registry];
  const credentials = own === undefined ? undefined : await fromSettings(own, registry);
  if (credentials !== undefined) return { credentials, source: "settings.json", problems: [] };
  const docker = await dockerCredentials(registry, opts.env);
  if (docker.credentials !== undefined) return docker;
  return { ...docker, source: `settings.json and ${docker.source}` };
}

async function fromSettings(
  { username, password, passwordFile, identityToken }: RegistrySettings,
  registry: string,
): Promise<Credentials | undefined> {
  if (identityToken !== undefined) return { kind: "identityToken", token: identityToken };
  if (username === undefined) return undefined;
  if (password !== undefined) return { kind: "password", username, password };
  if (passwordFile === undefined) return undefined;
  return { kind: "password", username, password: await readPassword(passwordFile, registry) };
}

async function readPassword(path: string, registry: string): Promise<string> {
  const file = await readSmallFile(path, MAX_PASSWORD_BYTES);
  if (file?.isShared) throw sharedSecret(path, `the password for ${registry}`);
  const password = file?.bytes.toString("utf8").replace(/\r?\n$/, "");
  if (password) return password;
  const why = file === undefined ? "is not there" : "is empty";
  throw new MsbError(
    "MSB_ERR_SETTINGS_INVALID",
    `The file ${path}, passwordFile of registries["${registry}"] in settings.json, ${why}.`,
    { details: { path } },
  );
}
