import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Agent, EnvHttpProxyAgent } from "undici";
import { describe, expect, it, onTestFinished, test } from "vitest";
import {
  type Connections,
  DEFAULT_TIMEOUTS,
  openConnections,
} from "../../../../src/oci/registry/dispatcher.js";
import { tempDir } from "../../../helpers/temp-dir.js";

async function open(env: Record<string, string>, caFile?: string): Promise<Connections> {
  const connections = await openConnections({ env, caFile, timeouts: DEFAULT_TIMEOUTS });
  onTestFinished(() => connections.destroy());
  return connections;
}

test.each([
  [{}, "https://a.b", Agent],
  [{ HTTPS_PROXY: "" }, "https://a.b", Agent],
  [{ HTTPS_PROXY: "http://p:1" }, "https://a.b", EnvHttpProxyAgent],
  [{ https_proxy: "p.example:3128" }, "https://a.b", EnvHttpProxyAgent],
  [{ http_proxy: "socks5://p:1" }, "http://a.b", EnvHttpProxyAgent],
  [{ HTTPS_PROXY: "http://p:1" }, "https://127.0.0.1:5000", Agent],
  [{ HTTP_PROXY: "http://p:1" }, "http://localhost:5000", Agent],
  [{ HTTP_PROXY: "http://p:1" }, "http://[::1]:5000", Agent],
])("with %j, %s is reached by %o", async (env, url, kind) => {
  const dispatcher = (await open(env)).dispatcherFor(new URL(url));
  expect(dispatcher.constructor).toBe(kind);
});

test.each(["ftp://s3cret@p", "file:///x", "http://", "p p"])(
  "the proxy %j is refused by the name of its variable",
  async (value) => {
    await expect(open({ https_proxy: value })).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      message: expect.stringMatching(/^The variable https_proxy(?!.*s3cret)/) as string,
    });
  },
);

describe("a file of certificates", () => {
  it.each([
    ["absent", undefined, /is not there/],
    ["without one", "no certificate", /no certificate in PEM/],
    ["that is broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", /be read/],
  ])("%s is refused by where it was named", async (_, content, message) => {
    const path = join(await tempDir(), "ca.pem");
    if (content !== undefined) await writeFile(path, content);
    for (const [env, caFile, name] of [
      [{ SSL_CERT_FILE: path }, undefined, "SSL_CERT_FILE"],
      [{}, path, "caFile in settings.json"],
    ] as const) {
      const error: unknown = await open(env, caFile).catch((caught: unknown) => caught);
      expect(error).toMatchObject({ code: "MSB_ERR_SETTINGS_INVALID" });
      expect(String(error)).toMatch(message);
      expect(String(error)).toContain(name);
    }
  });
});
