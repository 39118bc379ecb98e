/** Fetching one index or manifest, and making sure that it is the one asked for. */
import { MsbError } from "../../errors.js";
import { printable } from "../../util/printable.js";
import { type Digest, digestOf, isDigest, verifyBytes } from "../digest.js";
import {
  type Descriptor,
  INDEX_TYPES,
  type ManifestDocument,
  MANIFEST_TYPES,
  MAX_DOCUMENT_BYTES,
  parseManifestDocument,
} from "../manifest.js";
import { deadline } from "./deadline.js";
import type { EndpointClient } from "./endpoint-client.js";
import { type HttpResponse, readBody } from "./transport.js";

const KNOWN_TYPES = [...INDEX_TYPES, ...MANIFEST_TYPES];
const ACCEPT = KNOWN_TYPES.join(", ");

export interface FetchedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly document: ManifestDocument;
}

export interface ManifestRequest {
  readonly repository: string;
  readonly reference: Digest | { readonly tag: string };
  readonly what: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export async function requestManifest(
  client: EndpointClient,
  asked: ManifestRequest,
): Promise<FetchedManifest> {
  const { repository, reference, what } = asked;
  using limit = deadline(asked.timeoutMs, what, asked.signal);
  const { signal } = limit;
  const wanted = typeof reference === "string" ? reference : undefined;
  const name = typeof reference === "string" ? reference : reference.tag;
  const path = `manifests/${name}`;
  const headers = { accept: ACCEPT };
  const response = await client.get({ repository, path, headers, statuses: [200], what, signal });
  const bytes = await readBody(response, MAX_DOCUMENT_BYTES, {
    tooLong: () => tooLong(what),
    what,
    signal,
  });
  const digest = wanted ?? announcedDigest(response, what) ?? digestOf(bytes);
  verifyBytes(bytes, { digest, size: bytes.length });
  const document = parseManifestDocument(bytes, mediaTypeOf(response));
  const descriptor = { mediaType: document.mediaType, digest, size: bytes.length };
  return { descriptor, bytes, document };
}

/** The header that says which manifest a tag stands for; not every registry sends it. */
function announcedDigest(response: HttpResponse, what: string): Digest | undefined {
  const text = response.header("docker-content-digest")?.trim();
  if (text === undefined || isDigest(text)) return text;
  throw new MsbError(
    "MSB_ERR_REGISTRY",
    `${what} comes with a digest that cannot be checked, "${printable(text.slice(0, 100))}". Ask whoever runs ` +
      "the registry.",
  );
}

/** Only what names a manifest says anything; some registries call everything JSON. */
function mediaTypeOf(response: HttpResponse): string | undefined {
  const type = response.header("content-type")?.split(";")[0]?.trim().toLowerCase();
  return KNOWN_TYPES.find((known) => known === type);
}

function tooLong(what: string): MsbError {
  return new MsbError(
    "MSB_ERR_IMAGE_INVALID",
    `${what} has more than ${MAX_DOCUMENT_BYTES} bytes, which no honest one has. Ask whoever made the image.`,
    { details: { maxBytes: MAX_DOCUMENT_BYTES } },
  );
}
