/** What the network layer throws, told by code: is it worth another try, and what can the user do. */
import { MsbError } from "../../errors.js";
import { printable } from "../../util/printable.js";
import { redactUrl } from "./redact.js";

/** Codes of Node's TLS (OpenSSL's X509_V_ERR_*) for a certificate that is not believed. */
const CERTIFICATE_ERRORS: ReadonlySet<string> = new Set([
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_REVOKED",
  "CERT_UNTRUSTED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "INVALID_CA",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** What a server sends that speaks no TLS, as OpenSSL sees it. */
const NO_TLS_ERRORS: ReadonlySet<string> = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "ERR_SSL_HTTP_REQUEST",
  "EPROTO",
]);

const TIMEOUT_ERRORS: ReadonlyMap<string, string> = new Map([
  ["UND_ERR_CONNECT_TIMEOUT", "did not take the connection in time"],
  ["UND_ERR_HEADERS_TIMEOUT", "did not answer in time"],
  ["UND_ERR_BODY_TIMEOUT", "stopped sending in the middle of its answer"],
  ["ETIMEDOUT", "did not take the connection in time"],
]);

/** The MsbError for a request to `url` that `error` ended. */
export function networkError(error: unknown, url: URL): MsbError {
  if (error instanceof MsbError) return error;
  const codes = codesOf(error);
  const shownUrl = redactUrl(url);
  const details = { url: shownUrl, ...(codes[0] === undefined ? {} : { errno: codes[0] }) };
  const certificate = codes.find((code) => CERTIFICATE_ERRORS.has(code));
  if (certificate !== undefined) {
    return new MsbError(
      "MSB_ERR_REGISTRY",
      `The certificate of ${url.host} is not trusted (${certificate}). If it is from a CA of your own, name its ` +
        `file in NODE_EXTRA_CA_CERTS or SSL_CERT_FILE, or as caFile under registries["${url.host}"] in settings.json.`,
      { cause: error, details },
    );
  }
  if (url.protocol === "https:" && codes.some((code) => NO_TLS_ERRORS.has(code))) {
    return new MsbError(
      "MSB_ERR_REGISTRY",
      `${url.host} does not speak TLS. If it is meant to be used without, give the option plainHttp, or set ` +
        `"plainHttp": true under registries["${url.host}"] in settings.json: everybody on the way can then read ` +
        "and change what is sent.",
      { cause: error, details },
    );
  }
  if (isNoHttp(error, codes)) {
    return new MsbError(
      "MSB_ERR_REGISTRY",
      `${url.host} does not answer with HTTP that can be read. Check the name and port of the registry` +
        `${url.protocol === "http:" ? '; if it speaks TLS, set "plainHttp": false for it in settings.json' : ""}.`,
      { cause: error, details },
    );
  }
  return new MsbError(
    "MSB_ERR_REGISTRY_UNAVAILABLE",
    `${shownUrl} cannot be fetched: ${reasonOf(error, codes, url)}. Check the name of the registry, the network ` +
      "and the proxy settings (HTTPS_PROXY, NO_PROXY), or try again later.",
    { cause: error, details },
  );
}

function isNoHttp(error: unknown, codes: readonly string[]): boolean {
  // undici gives this error a code only when its parser has one.
  if (error instanceof Error && error.name === "HTTPParserError") return true;
  return codes.some((code) => code.startsWith("HPE_") || code === "UND_ERR_HEADERS_OVERFLOW");
}

function reasonOf(error: unknown, codes: readonly string[], url: URL): string {
  const timeout = codes.map((code) => TIMEOUT_ERRORS.get(code)).find((text) => text !== undefined);
  if (timeout !== undefined) return `${url.host} ${timeout}`;
  if (codes.includes("ENOTFOUND")) return `there is no host ${url.hostname}`;
  if (codes.includes("ECONNREFUSED")) return `nothing listens at ${url.host}`;
  const text = error instanceof Error ? error.message : String(error);
  return printable([codes[0], text].filter(Boolean).join(", ").slice(0, 200));
}

/** The codes of an error, of what caused it, and of its parts. */
function codesOf(error: unknown, depth = 0): string[] {
  if (!(error instanceof Error) || depth > 4) return [];
  const { code } = error as NodeJS.ErrnoException;
  const parts = error instanceof AggregateError ? (error.errors as unknown[]).slice(0, 4) : [];
  return [
    ...(typeof code === "string" ? [code] : []),
    ...[error.cause, ...parts].flatMap((inner) => codesOf(inner, depth + 1)),
  ];
}
