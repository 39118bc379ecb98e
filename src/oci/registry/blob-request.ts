/** Opening one blob from some offset on: ranges that are checked, bodies that are neither short nor endless. */
import { MsbError } from "../../errors.js";
import { abortReason } from "../../util/async.js";
import type { Descriptor } from "../manifest.js";
import type { EndpointClient } from "./endpoint-client.js";
import { networkError } from "./network-error.js";
import { redactUrl } from "./redact.js";
import { discard, type HttpResponse } from "./transport.js";

export interface OpenedBlob {
  /** Where the body begins: what was asked for, or 0. */
  readonly offset: number;
  readonly body: AsyncIterable<Buffer>;
}

export interface BlobRequest {
  readonly repository: string;
  readonly descriptor: Descriptor;
  readonly offset: number;
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
}

export async function requestBlob(client: EndpointClient, asked: BlobRequest): Promise<OpenedBlob> {
  const { descriptor, offset } = asked;
  if (offset > 0) {
    const response = await get(client, asked, [200, 206, 416]);
    if (response.status === 206 && isRangeAsked(response, descriptor.size, offset)) {
      return opened(response, asked, offset);
    }
    if (response.status === 200) return opened(response, asked, 0);
    // Ranges that the registry gets wrong are as good as none.
    discard(response);
  }
  return opened(await get(client, { ...asked, offset: 0 }, [200]), asked, 0);
}

function get(
  client: EndpointClient,
  { repository, descriptor, offset, what, signal }: BlobRequest,
  statuses: readonly number[],
): Promise<HttpResponse> {
  const path = `blobs/${descriptor.digest}`;
  const headers = offset > 0 ? { range: `bytes=${offset}-` } : {};
  return client.get({ repository, path, headers, statuses, what, signal });
}

/** Content-Range (RFC 9110, section 14.4): from the byte that was asked for, of a blob of the right size. */
function isRangeAsked(response: HttpResponse, sizeBytes: number, offset: number): boolean {
  const text = response.header("content-range")?.trim() ?? "";
  const [, first, last, total] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(text) ?? [];
  return (
    Number(first) === offset &&
    Number(last) >= offset &&
    Number(last) < sizeBytes &&
    (total === "*" || Number(total) === sizeBytes)
  );
}

function opened(response: HttpResponse, asked: BlobRequest, offset: number): OpenedBlob {
  const { size, digest } = asked.descriptor;
  const announced = response.header("content-length");
  // A part may be shorter than what was asked for, the whole not.
  const isWrong =
    announced !== undefined &&
    (response.status === 206 ? Number(announced) > size - offset : Number(announced) !== size);
  if (isWrong) {
    response.body.destroy();
    throw new MsbError(
      "MSB_ERR_DIGEST_MISMATCH",
      `${asked.what} cannot be ${digest}: ${response.url.host} announces other than the ${size} bytes that the ` +
        "manifest says it has. The registry, or what is between it and this machine, has something else there.",
      { details: { digest, size, url: redactUrl(response.url) } },
    );
  }
  return { offset, body: limited(response, asked, size - offset) };
}

/** The body, `expectedBytes` long: more is an error as soon as it comes, less at the end. */
async function* limited(
  response: HttpResponse,
  { descriptor, what, signal }: BlobRequest,
  expectedBytes: number,
): AsyncGenerator<Buffer, void, undefined> {
  let received = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      received += chunk.length;
      if (received > expectedBytes) throw tooMuch(what, descriptor);
      yield chunk;
    }
  } catch (error) {
    if (signal?.aborted) throw abortReason(signal, what);
    throw networkError(error, response.url);
  }
  if (received < expectedBytes) throw endedEarly(response, what, received, expectedBytes);
}

function tooMuch(what: string, { digest, size }: Descriptor): MsbError {
  return new MsbError(
    "MSB_ERR_DIGEST_MISMATCH",
    `${what} cannot be ${digest}: more than the ${size} bytes come that the manifest says it has. The registry, or ` +
      "what is between it and this machine, has something else there.",
    { details: { digest, size } },
  );
}

function endedEarly(
  response: HttpResponse,
  what: string,
  received: number,
  expected: number,
): MsbError {
  return new MsbError(
    "MSB_ERR_REGISTRY_UNAVAILABLE",
    `${what} ended after ${received} of ${expected} bytes: ${response.url.host} closed the connection. Try again.`,
    { details: { received, expected, url: redactUrl(response.url) } },
  );
}
