/** Connections: pools, proxies and trusted certificates, as undici's dispatchers. */
import { X509Certificate } from "node:crypto";
import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";
import { Agent, type Dispatcher, EnvHttpProxyAgent, Pool } from "undici";
import type { Env } from "../../config.js";
import { MsbError } from "../../errors.js";
import { isLoopbackHost } from "../../util/host-port.js";
import { readSmallFile } from "../../util/small-file.js";

/** All public CAs together have a few hundred KiB. */
const MAX_CA_BYTES = 16 * 1024 ** 2;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export interface Timeouts {
  readonly connectMs: number;
  /** From the request to the answer's headers. */
  readonly headersMs: number;
  /** Between two chunks of a body. */
  readonly bodyIdleMs: number;
  /** For a document (manifest, token, error) from request to last byte. */
  readonly documentMs: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = {
  connectMs: 15_000,
  headersMs: 60_000,
  bodyIdleMs: 60_000,
  documentMs: 120_000,
};

export interface Connections {
  dispatcherFor(url: URL): Dispatcher;
  /** Ends every request that is under way. */
  destroy(): Promise<void>;
}

export interface ConnectionOpts {
  readonly env: Env;
  readonly timeouts: Timeouts;
  /** Trusted besides the usual ones. */
  readonly caFile?: string | undefined;
}

/** Throws MSB_ERR_SETTINGS_INVALID for a CA file, MSB_ERR_INVALID_ARGUMENT for a proxy that cannot be used. */
export async function openConnections(opts: ConnectionOpts): Promise<Connections> {
  const { env, timeouts } = opts;
  const secureContext = await trustedContext(env, opts.caFile);
  const tls = {
    timeout: timeouts.connectMs,
    ...(secureContext === undefined ? {} : { secureContext }),
  };
  const common = { headersTimeout: timeouts.headersMs, bodyTimeout: timeouts.bodyIdleMs };
  const direct = new Agent({ ...common, connect: tls });
  const proxy = proxyOf(env);
  const proxied =
    proxy === undefined
      ? direct
      : new EnvHttpProxyAgent({
          ...common,
          ...proxy,
          connect: tls,
          requestTls: tls,
          proxyTls: tls,
          // Without it a proxy that does not answer the CONNECT is waited for five minutes.
          clientFactory: (origin, options) => new Pool(origin, { ...options, ...common }),
        });
  return {
    // What is on this machine is never asked of another one.
    dispatcherFor: (url) => (isLoopbackHost(url.hostname) ? direct : proxied),
    destroy: async () => {
      await Promise.all([direct.destroy(), ...(proxied === direct ? [] : [proxied.destroy()])]);
    },
  };
}

/** undefined leaves the choice to Node, which reads NODE_EXTRA_CA_CERTS by itself. */
async function trustedContext(
  env: Env,
  caFile: string | undefined,
): Promise<SecureContext | undefined> {
  const bundle = env["SSL_CERT_FILE"] || undefined;
  if (bundle === undefined && caFile === undefined) return undefined;
  const extra = env["NODE_EXTRA_CA_CERTS"] || undefined;
  const ca = [
    // As OpenSSL reads the variable: in place of what is built in.
    ...(bundle === undefined ? rootCertificates : [await readCa(bundle, "SSL_CERT_FILE")]),
    ...(extra === undefined ? [] : [await readCa(extra, "NODE_EXTRA_CA_CERTS")]),
    ...(caFile === undefined ? [] : [await readCa(caFile, "caFile in settings.json")]),
  ];
  return createSecureContext({ ca });
}

async function readCa(path: string, source: string): Promise<string> {
  const file = await readSmallFile(path, MAX_CA_BYTES);
  const pem = file?.bytes.toString("latin1");
  const why = pem === undefined ? "is not there" : problemOf(pem);
  if (pem !== undefined && why === undefined) return pem;
  throw new MsbError(
    "MSB_ERR_SETTINGS_INVALID",
    `The file of certificates ${path} (${source}) ${why}.`,
    { details: { path, setting: source } },
  );
}

/** Node passes over what it cannot read without a word, and the file would seem to be of no use. */
function problemOf(pem: string): string | undefined {
  const certificates = pem.match(PEM_CERTIFICATE) ?? [];
  if (certificates.length === 0) return "has no certificate in PEM format";
  return certificates.some(isCertificate) ? undefined : "has no certificate that can be read";
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

interface ProxySettings {
  readonly httpProxy: string;
  readonly httpsProxy: string;
  readonly noProxy: string;
}

/** From `env` alone: an empty text keeps undici from reading the environment of the process. */
function proxyOf(env: Env): ProxySettings | undefined {
  const httpProxy = proxyUrl(env, "http_proxy", "HTTP_PROXY");
  const httpsProxy = proxyUrl(env, "https_proxy", "HTTPS_PROXY");
  if (httpProxy === "" && httpsProxy === "") return undefined;
  return { httpProxy, httpsProxy, noProxy: env["no_proxy"] ?? env["NO_PROXY"] ?? "" };
}

function proxyUrl(env: Env, ...names: readonly string[]): string {
  const name = names.find((candidate) => env[candidate]);
  const value = name === undefined ? "" : (env[name] ?? "");
  if (name === undefined || value === "") return "";
  // Most tools take host:port, too.
  const text = /^[a-z0-9+.-]+:\/\//i.test(value) ? value : `http://${value}`;
  if (/^(?:https?|socks5?):\/\//i.test(text) && URL.canParse(text)) return text;
  // The value is not shown: it may hold a password.
  throw new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `The variable ${name} does not name a proxy: write http://host:port, https://host:port or socks5://host:port.`,
    { details: { variable: name } },
  );
}
