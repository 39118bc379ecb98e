import { expect, test } from "vitest";
import { digestOf } from "../../../../src/oci/digest.js";
import { MediaType } from "../../../../src/oci/manifest.js";
import type { EndpointClient } from "../../../../src/oci/registry/endpoint-client.js";
import { requestManifest } from "../../../../src/oci/registry/manifest-request.js";
import { exchange } from "../../../../src/oci/registry/transport.js";
import { type Answer, mockConnections } from "../../../helpers/mock-connections.js";

const CONFIG = { mediaType: MediaType.ociConfig, digest: digestOf(Buffer.alloc(0)), size: 0 };
const MANIFEST = JSON.stringify({ schemaVersion: 2, config: CONFIG, layers: [] });

/** What `requestManifest` makes of one answer. */
function request(answer: Answer, timeoutMs = 10_000) {
  const { connections, answer: expectRequest } = mockConnections();
  expectRequest("https://a.b/v2/r/manifests/1", answer);
  const client = {
    get: ({ what }: { what: string }) =>
      exchange(connections, {
        url: new URL("https://a.b/v2/r/manifests/1"),
        allowPlainHttp: false,
        what,
      }),
  } as unknown as EndpointClient;
  const reference = { tag: "1" };
  return requestManifest(client, { repository: "r", reference, what: "The manifest", timeoutMs });
}

test.each([
  [MediaType.dockerManifest, MediaType.dockerManifest],
  [`${MediaType.dockerManifest}; charset=utf-8`, MediaType.dockerManifest],
  ["application/json", MediaType.ociManifest],
  ["text/plain", MediaType.ociManifest],
])("a document that does not say its type, sent as %s, is %s", async (sent, type) => {
  const { descriptor, document } = await request({
    headers: { "content-type": sent },
    body: MANIFEST,
  });
  expect([descriptor.mediaType, document.kind]).toEqual([type, "manifest"]);
});

test("a document that says its type is what it says", async () => {
  const body = JSON.stringify({ mediaType: MediaType.ociManifest, ...JSON.parse(MANIFEST) });
  const headers = { "content-type": MediaType.dockerManifest };
  expect((await request({ headers, body })).descriptor.mediaType).toBe(MediaType.ociManifest);
});

test.each([
  [{ "content-type": MediaType.ociIndex }, MANIFEST, "MSB_ERR_IMAGE_INVALID"],
  [{ "content-length": "104857600" }, "", "MSB_ERR_IMAGE_INVALID"],
  [{ "docker-content-digest": digestOf(Buffer.from("x")) }, MANIFEST, "MSB_ERR_DIGEST_MISMATCH"],
  [{ "docker-content-digest": "md5:x" }, MANIFEST, "MSB_ERR_REGISTRY"],
])("with %j, %s is %s", async (headers, body, code) => {
  await expect(request({ headers: headers as Record<string, string>, body })).rejects.toMatchObject(
    { code },
  );
});
