/** Certificates and proxies on the way to a registry. */
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { isMsbError, type MsbError } from "../../../src/errors.js";
import { digestOf } from "../../../src/oci/digest.js";
import { MediaType } from "../../../src/oci/manifest.js";
import { parseReference } from "../../../src/oci/reference.js";
import {
  RegistryClient,
  type RegistryClientOpts,
} from "../../../src/oci/registry/registry-client.js";
import { EMPTY_SETTINGS, type RegistrySettings } from "../../../src/settings.js";
import { makeCertificate } from "../../helpers/certificate.js";
import { type Handler, startHttpServer } from "../../helpers/http-server.js";

const MANIFEST = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    config: { mediaType: MediaType.ociConfig, digest: digestOf(Buffer.from("{}")), size: 2 },
    layers: [],
  }),
);
const sendManifest: Handler = (_, response) => void response.end(MANIFEST);

/** Pulls a manifest from `host`; only variables of `env` count. */
async function pull(
  host: string,
  registry: RegistrySettings,
  opts: Partial<RegistryClientOpts> = {},
): Promise<Buffer> {
  await using client = RegistryClient.open({
    settings: { ...EMPTY_SETTINGS, registries: { [host]: registry } },
    env: {},
    retry: { attempts: 1 },
    ...opts,
  });
  return (await client.getManifest(parseReference(`${host}/a:1`))).bytes;
}

async function failure(work: Promise<unknown>): Promise<MsbError> {
  const error: unknown = await work.then(
    () => new Error("it succeeded"),
    (caught: unknown) => caught,
  );
  if (isMsbError(error)) return error;
  throw error;
}

interface ConnectProxy {
  readonly url: string;
  readonly asked: { target: string; authorization: string | undefined }[];
}

/** A proxy that opens every tunnel to the port of `to`, whatever was asked for; `status` refuses instead. */
async function startProxy(to: { host: string }, status = 200): Promise<ConnectProxy> {
  const asked: ConnectProxy["asked"] = [];
  const server = createServer();
  server.on("connect", (request, socket) => {
    asked.push({
      target: request.url ?? "",
      authorization: request.headers["proxy-authorization"],
    });
    socket.on("error", () => {});
    if (status !== 200) return void socket.end(`HTTP/1.1 ${status} No\r\n\r\n`);
    const upstream = connect(Number(to.host.split(":")[1]), "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      upstream.pipe(socket).pipe(upstream);
    });
    upstream.on("error", () => socket.destroy());
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

describe("a certificate", () => {
  it("that nobody vouches for is refused with what to do", async () => {
    const server = await startHttpServer(sendManifest, {
      tls: await makeCertificate("IP:127.0.0.1"),
    });
    const error = await failure(pull(server.host, { plainHttp: false }));
    expect(error.code).toBe("MSB_ERR_REGISTRY");
    expect(error.message).toMatch(/DEPTH_ZERO_SELF_SIGNED_CERT.*NODE_EXTRA_CA_CERTS.*caFile/);
    expect(server.requests).toHaveLength(0);
  });

  it("of another name is refused, trusted or not", async () => {
    const tls = await makeCertificate("DNS:other.test");
    const server = await startHttpServer(sendManifest, { tls });
    const settings = { plainHttp: false, caFile: tls.certFile };
    const error = await failure(pull(server.host, settings));
    expect(error.message).toContain("ERR_TLS_CERT_ALTNAME_INVALID");
  });

  it("is trusted by any of the files that may name it", async () => {
    const { certFile, ...tls } = await makeCertificate("IP:127.0.0.1");
    const other = await makeCertificate("IP:127.0.0.1");
    const server = await startHttpServer(sendManifest, { tls });
    const plainHttp = false;
    const env = { SSL_CERT_FILE: certFile };
    expect(await pull(server.host, { plainHttp, caFile: certFile })).toEqual(MANIFEST);
    expect(await pull(server.host, { plainHttp }, { env })).toEqual(MANIFEST);
    // Node reads NODE_EXTRA_CA_CERTS by itself, unless it is told other certificates.
    const settings = { plainHttp, caFile: other.certFile };
    const extra = { env: { NODE_EXTRA_CA_CERTS: certFile } };
    expect(await pull(server.host, settings, extra)).toEqual(MANIFEST);
    await failure(pull(server.host, settings));
  });

  it("of a registry on this machine may lead to plain HTTP there, and nowhere else", async () => {
    const tls = await makeCertificate("IP:127.0.0.1");
    const plain = await startHttpServer(sendManifest);
    let location = plain.url;
    const server = await startHttpServer(
      (_, response) => void response.writeHead(307, { location }).end(),
      { tls },
    );
    const settings = { plainHttp: false, caFile: tls.certFile };
    expect(await pull(server.host, settings)).toEqual(MANIFEST);
    location = "http://192.0.2.1/x";
    const error = await failure(pull(server.host, settings));
    expect(error.message).toMatch(/without encryption.*https must not lead to http/);
  });
});

describe("a proxy", () => {
  it("is used for HTTPS, with its credentials, and the certificate is still checked", async () => {
    const tls = await makeCertificate("DNS:registry.test");
    const server = await startHttpServer(sendManifest, { tls });
    const proxy = await startProxy(server);
    const env = { HTTPS_PROXY: `http://me:s3cret@${proxy.url}` };
    expect(await pull("registry.test", { caFile: tls.certFile }, { env })).toEqual(MANIFEST);
    const authorization = `Basic ${Buffer.from("me:s3cret").toString("base64")}`;
    expect(proxy.asked).toEqual([{ target: "registry.test:443", authorization }]);
    const error = await failure(pull("registry.test", {}, { env }));
    expect(error.message).toContain("DEPTH_ZERO_SELF_SIGNED_CERT");
  });

  it("that refuses is an error without its password", async () => {
    const proxy = await startProxy({ host: "127.0.0.1:9" }, 407);
    const env = { https_proxy: `http://me:s3cret@${proxy.url}` };
    const error = await failure(pull("registry.test", {}, { env }));
    expect(error.code).toBe("MSB_ERR_REGISTRY_UNAVAILABLE");
    expect(error.message).toContain("407");
    expect(JSON.stringify([error, error.stack, String(error.cause)])).not.toContain("s3cret");
  });

  it("is left out for what NO_PROXY names", async () => {
    const server = await startHttpServer(sendManifest);
    const proxy = await startProxy(server);
    // This machine by a name that is not known to be it.
    const host = `0.0.0.0:${server.host.split(":")[1]}`;
    const plain = { plainHttp: true };
    await pull(host, plain, { env: { HTTP_PROXY: proxy.url } });
    expect(proxy.asked.map(({ target }) => target)).toEqual([host]);
    await pull(host, plain, { env: { HTTP_PROXY: proxy.url, NO_PROXY: "0.0.0.0" } });
    expect(proxy.asked).toHaveLength(1);
    expect(server.requests).toHaveLength(2);
  });

  it("is never asked for what is on this machine", async () => {
    const server = await startHttpServer(sendManifest);
    const proxy = await startProxy(server);
    const env = { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url };
    expect(await pull(server.host, {}, { env })).toEqual(MANIFEST);
    expect(proxy.asked).toEqual([]);
  });
});

describe("plain HTTP", () => {
  it("beyond this machine needs the option or the setting", async () => {
    const server = await startHttpServer(sendManifest);
    const host = `0.0.0.0:${server.host.split(":")[1]}`;
    const error = await failure(pull(host, {}));
    expect(error.message).toMatch(/does not speak TLS.*option plainHttp.*"plainHttp": true/);
    expect(await pull(host, {}, { plainHttp: true })).toEqual(MANIFEST);
    expect(await pull(host, { plainHttp: true })).toEqual(MANIFEST);
  });
});
