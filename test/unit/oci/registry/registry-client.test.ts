/** The client as a whole, without a network; real and hostile registries are in test/integration/oci. */
import { describe, expect, it, onTestFinished } from "vitest";
import { type Digest, digestOf } from "../../../../src/oci/digest.js";
import { type Descriptor, MediaType } from "../../../../src/oci/manifest.js";
import { parseReference } from "../../../../src/oci/reference.js";
import {
  RegistryClient,
  type RegistryClientOpts,
} from "../../../../src/oci/registry/registry-client.js";
import { EMPTY_SETTINGS, type RegistrySettings } from "../../../../src/settings.js";
import { type Answer, mockConnections } from "../../../helpers/mock-connections.js";

const MANIFEST = JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [] });
const DIGEST = digestOf(Buffer.from(MANIFEST));
const REF = parseReference("python:3.12");
const HUB = "https://registry-1.docker.io/v2/library/python";

function setUp(registry: RegistrySettings = {}, opts: Partial<RegistryClientOpts> = {}) {
  const mock = mockConnections();
  const slept: number[] = [];
  const clock = {
    now: () => 0,
    random: () => 0,
    sleep: (ms: number) => Promise.resolve(void slept.push(ms)),
  };
  const client = RegistryClient.open({
    settings: { ...EMPTY_SETTINGS, registries: { "docker.io": registry } },
    env: { DOCKER_CONFIG: "/nowhere" },
    clock,
    openConnections: () => Promise.resolve(mock.connections),
    ...opts,
  });
  onTestFinished(() => client[Symbol.asyncDispose]());
  return { ...mock, client, slept };
}

async function collect(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("getManifest", () => {
  it("asks Docker Hub for a tag, for every kind of document", async () => {
    const { client, answer, seen } = setUp();
    answer(`${HUB}/manifests/3.12`, { body: MANIFEST });
    const { descriptor, bytes, document } = await client.getManifest(REF);
    expect(descriptor).toEqual({
      mediaType: MediaType.ociIndex,
      digest: DIGEST,
      size: MANIFEST.length,
    });
    expect([bytes.toString(), document.kind]).toEqual([MANIFEST, "index"]);
    const accept = seen[0]!.headers["accept"]!.split(", ");
    expect(accept.toSorted()).toEqual(
      [
        MediaType.dockerIndex,
        MediaType.dockerManifest,
        MediaType.ociIndex,
        MediaType.ociManifest,
      ].toSorted(),
    );
  });

  it("asks by digest when there is one, and by the one of the options before all", async () => {
    const { client, answer, seen } = setUp();
    const other: Digest = `sha256:${"0".repeat(64)}`;
    answer(`${HUB}/manifests/${DIGEST}`, { body: MANIFEST });
    await client.getManifest({ ...REF, digest: DIGEST });
    answer(`${HUB}/manifests/${DIGEST}`, { body: MANIFEST });
    await client.getManifest({ ...REF, digest: other }, { digest: DIGEST });
    expect(seen).toHaveLength(2);
  });

  it("takes a digest of sha512 at its word", async () => {
    const { client, answer } = setUp();
    const digest: Digest = `sha512:${"0".repeat(128)}`;
    answer(`${HUB}/manifests/${digest}`, { body: MANIFEST });
    await expect(client.getManifest(REF, { digest })).rejects.toMatchObject({
      code: "MSB_ERR_DIGEST_MISMATCH",
    });
  });
});

describe("openBlob", () => {
  const blob = (content: string): Descriptor => ({
    mediaType: MediaType.ociLayer,
    digest: digestOf(Buffer.from(content)),
    size: content.length,
  });
  const LAYER = blob("0123456789");
  const url = `${HUB}/blobs/${LAYER.digest}`;

  it("asks for a range only when there is something already", async () => {
    const { client, answer, seen } = setUp();
    answer(url, { body: "0123456789" });
    const whole = await client.openBlob(REF, LAYER);
    expect([whole.offset, await collect(whole.body)]).toEqual([0, "0123456789"]);
    answer(url, { status: 206, headers: { "content-range": "bytes 4-9/10" }, body: "456789" });
    const rest = await client.openBlob(REF, LAYER, { offset: 4 });
    expect([rest.offset, await collect(rest.body)]).toEqual([4, "456789"]);
    expect(seen.map(({ headers }) => headers["range"])).toEqual([undefined, "bytes=4-"]);
  });

  it("takes a part of the range, which ends early", async () => {
    const { client, answer } = setUp();
    answer(url, { status: 206, headers: { "content-range": "bytes 4-5/10" }, body: "45" });
    const rest = await client.openBlob(REF, LAYER, { offset: 4 });
    await expect(collect(rest.body)).rejects.toMatchObject({
      code: "MSB_ERR_REGISTRY_UNAVAILABLE",
      details: { received: 2, expected: 6 },
    });
  });

  it("asks for nothing when all of it is there", async () => {
    const { client, seen } = setUp();
    const empty = await client.openBlob(REF, blob(""));
    const done = await client.openBlob(REF, LAYER, { offset: 10 });
    expect([await collect(empty.body), await collect(done.body), done.offset]).toEqual([
      "",
      "",
      10,
    ]);
    expect(seen).toEqual([]);
  });

  it.each([-1, 11, 1.5, Number.NaN])("refuses the offset %d", async (offset) => {
    await expect(setUp().client.openBlob(REF, LAYER, { offset })).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
    });
  });
});

describe("mirrors", () => {
  const MIRROR = "https://mirror.example/v2/hub/library/python/manifests/3.12";
  const ORIGIN = `${HUB}/manifests/3.12`;
  const registry = { mirrors: ["mirror.example/hub"] };

  it.each<[string, Answer]>([
    ["is down", { status: 503 }],
    ["does not have it", { status: 404 }],
    ["wants to know who asks", { status: 401, headers: { "www-authenticate": "Negotiate" } }],
    [
      "has something else",
      { body: MANIFEST, headers: { "docker-content-digest": `sha256:${"1".repeat(64)}` } },
    ],
    ["has garbage", { body: "<html>" }],
  ])("are passed over when one %s, after one try", async (_, response) => {
    const failed: string[] = [];
    const { client, answer, slept, seen } = setUp(registry, {
      onMirrorFailed: (mirror) => failed.push(mirror),
    });
    answer(MIRROR, response);
    answer(ORIGIN, { body: MANIFEST });
    expect((await client.getManifest(REF)).descriptor.digest).toBe(DIGEST);
    expect(seen.map(({ url }) => url)).toEqual([MIRROR, ORIGIN]);
    expect([failed, slept]).toEqual([["mirror.example"], []]);
  });

  it("are enough when they have it", async () => {
    const { client, answer, seen } = setUp(registry);
    answer(MIRROR, { body: MANIFEST });
    await client.getManifest(REF);
    expect(seen.map(({ url }) => url)).toEqual([MIRROR]);
  });

  it("do not get the registry's credentials", async () => {
    const { client, answer, seen } = setUp({ ...registry, username: "u", password: "p" });
    const challenge = { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } };
    answer(MIRROR, challenge);
    answer(ORIGIN, challenge);
    answer(ORIGIN, { body: MANIFEST });
    await client.getManifest(REF);
    expect(seen.map(({ headers }) => headers["authorization"])).toEqual([
      undefined,
      undefined,
      "Basic dTpw",
    ]);
  });

  it("do not hide the error of the registry itself", async () => {
    const { client, answer } = setUp(registry);
    answer(MIRROR, { status: 500 });
    answer(ORIGIN, { status: 404 });
    await expect(client.getManifest(REF)).rejects.toMatchObject({
      code: "MSB_ERR_IMAGE_NOT_FOUND",
      details: { registry: "docker.io" },
    });
  });
});

it("what cannot be opened is an error, and tried anew the next time", async () => {
  const { client } = setUp({ caFile: "/nowhere/ca.pem" }, { openConnections: undefined! });
  for (let n = 0; n < 2; n++) {
    await expect(client.getManifest(REF)).rejects.toMatchObject({
      code: "MSB_ERR_SETTINGS_INVALID",
    });
  }
});
