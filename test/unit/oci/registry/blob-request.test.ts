import { expect, test } from "vitest";
import { digestOf } from "../../../../src/oci/digest.js";
import { MediaType } from "../../../../src/oci/manifest.js";
import { requestBlob } from "../../../../src/oci/registry/blob-request.js";
import type { EndpointClient, GetRequest } from "../../../../src/oci/registry/endpoint-client.js";
import { exchange } from "../../../../src/oci/registry/transport.js";
import { type Answer, mockConnections } from "../../../helpers/mock-connections.js";

const CONTENT = "0123456789";
const DESCRIPTOR = {
  mediaType: MediaType.ociLayer,
  digest: digestOf(Buffer.from(CONTENT)),
  size: CONTENT.length,
};

/** The blob from `offset` on, when the registry gives `answers` in turn. */
async function read(offset: number, ...answers: readonly Answer[]) {
  const { connections, answer, seen } = mockConnections();
  for (const each of answers) answer("https://a.b/blob", each);
  const client = {
    get: ({ what, headers }: GetRequest) =>
      exchange(connections, {
        url: new URL("https://a.b/blob"),
        headers,
        allowPlainHttp: false,
        what,
      }),
  } as unknown as EndpointClient;
  const what = "The blob";
  const blob = await requestBlob(client, { repository: "r", descriptor: DESCRIPTOR, offset, what });
  const chunks: Buffer[] = [];
  for await (const chunk of blob.body) chunks.push(chunk);
  return {
    offset: blob.offset,
    text: Buffer.concat(chunks).toString(),
    ranges: seen.map(({ headers }) => headers["range"]),
  };
}

const range = (text: string, body: string): Answer => ({
  status: 206,
  headers: { "content-range": text },
  body,
});
const whole: Answer = { body: CONTENT };

test.each(["bytes 4-9/10", "Bytes 4-9/10", "bytes 4-9/*"])(
  "%s is what was asked for",
  async (text) => {
    const blob = await read(4, range(text, "456789"));
    expect(blob).toEqual({ offset: 4, text: "456789", ranges: ["bytes=4-"] });
  },
);

test.each([
  "bytes 0-9/10",
  "bytes 5-9/10",
  "bytes 4-10/*",
  "bytes 4-9/11",
  "bytes 4-3/10",
  "4-9/10",
  "",
])("%j is not, and the blob is read from its start", async (text) => {
  const blob = await read(4, range(text, "456789"), whole);
  expect(blob).toEqual({ offset: 0, text: CONTENT, ranges: ["bytes=4-", undefined] });
});

test("a registry without ranges says so by 200, one that thinks it is at its end by 416", async () => {
  expect((await read(4, whole)).ranges).toEqual(["bytes=4-"]);
  expect((await read(4, { status: 416 }, whole)).ranges).toEqual(["bytes=4-", undefined]);
});

test.each([
  ["more than was announced", "0123456789x", "MSB_ERR_DIGEST_MISMATCH"],
  ["less", "012345678", "MSB_ERR_REGISTRY_UNAVAILABLE"],
])("%s is an error", async (_, body, code) => {
  await expect(read(0, { body })).rejects.toMatchObject({ code });
});

test("another length in the header is an error before it is read", async () => {
  for (const length of ["9", "11"]) {
    const answer = { body: CONTENT, headers: { "content-length": length } };
    await expect(read(0, answer)).rejects.toThrow(/announces other than the 10 bytes/);
  }
});
