import { expect, test } from "vitest";
import { MsbError } from "../../../../src/errors.js";
import { networkError } from "../../../../src/oci/registry/network-error.js";

const withCode = (code: string, message = "x") => Object.assign(new Error(message), { code });
const HTTPS = new URL("https://u:p@host.example/v2/a?sig=s3cret");
const HTTP = new URL("http://host.example:5000/v2/a");

test.each([
  [withCode("ECONNREFUSED"), HTTPS, "MSB_ERR_REGISTRY_UNAVAILABLE", /nothing listens at host/],
  [withCode("ENOTFOUND"), HTTPS, "MSB_ERR_REGISTRY_UNAVAILABLE", /there is no host host\.example/],
  [withCode("ECONNRESET"), HTTPS, "MSB_ERR_REGISTRY_UNAVAILABLE", /ECONNRESET/],
  [withCode("UND_ERR_CONNECT_TIMEOUT"), HTTPS, "MSB_ERR_REGISTRY_UNAVAILABLE", /the connection in/],
  [withCode("UND_ERR_HEADERS_TIMEOUT"), HTTP, "MSB_ERR_REGISTRY_UNAVAILABLE", /not answer in time/],
  [withCode("UND_ERR_BODY_TIMEOUT"), HTTP, "MSB_ERR_REGISTRY_UNAVAILABLE", /stopped sending/],
  [withCode("CERT_HAS_EXPIRED"), HTTPS, "MSB_ERR_REGISTRY", /CERT_HAS_EXPIRED.*caFile/],
  [withCode("ERR_SSL_WRONG_VERSION_NUMBER"), HTTPS, "MSB_ERR_REGISTRY", /TLS.*plainHttp/],
  [withCode("HPE_INVALID_CONSTANT"), HTTP, "MSB_ERR_REGISTRY", /HTTP.*"plainHttp": false/],
  [withCode("UND_ERR_HEADERS_OVERFLOW"), HTTPS, "MSB_ERR_REGISTRY", /not answer with HTTP that/],
  [withCode("", "bad\u001b[2J"), HTTPS, "MSB_ERR_REGISTRY_UNAVAILABLE", /bad\ufffd\[2J/],
  ["thrown text", HTTPS, "MSB_ERR_REGISTRY_UNAVAILABLE", /thrown text/],
] as const)("%s from %s is %s", (cause, url, code, message) => {
  const error = networkError(cause, url);
  expect(error).toMatchObject({ code, cause });
  expect(error.message).toMatch(message);
  expect(JSON.stringify(error)).not.toMatch(/s3cret|u:p@/);
});

test("the reason is found in what caused it, too", () => {
  const inner = new AggregateError([withCode("ETIMEDOUT"), withCode("ECONNREFUSED")]);
  const error = networkError(new Error("failed", { cause: inner }), HTTPS);
  expect(error.details).toMatchObject({ errno: "ETIMEDOUT", url: "https://host.example/v2/a?…" });
  const circle = withCode("A");
  circle.cause = circle;
  expect(networkError(circle, HTTPS).code).toBe("MSB_ERR_REGISTRY_UNAVAILABLE");
});

test("our own errors pass as they are", () => {
  const own = new MsbError("MSB_ERR_DIGEST_MISMATCH", "x");
  expect(networkError(own, HTTPS)).toBe(own);
});
