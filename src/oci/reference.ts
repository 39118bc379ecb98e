/**
 * Names of images, read and printed as Docker does: the grammar of github.com/distribution/reference (regexp.go,
 * normalize.go). Two differences: hosts are lower-cased, because DNS does not tell them apart, and only digests
 * that can be verified here are digests.
 */
import { MsbError } from "../errors.js";
import { isHostPort } from "../util/host-port.js";
import { printable } from "../util/printable.js";
import { type Digest, isDigest } from "./digest.js";

/** Where a name without a host is looked for. */
export const DEFAULT_REGISTRY = "docker.io";
/** Docker Hub keeps the images of its own under this folder, and lets names leave it out. */
const OFFICIAL_FOLDER = "library/";
const DEFAULT_TAG = "latest";

const MAX_REPOSITORY_LENGTH = 255;
const MAX_TAG_LENGTH = 128;
/** Host, repository, tag and digest at their longest are shorter. */
const MAX_TEXT_LENGTH = 1024;

/** One part of a repository between slashes. */
const COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]*$/;

/** A name with everything filled in that Docker fills in: `python` is `docker.io/library/python:latest`. */
export interface ImageReference {
  /** `docker.io`, `127.0.0.1:5000`, `[::1]:5000`. */
  readonly registry: string;
  /** `library/python`. */
  readonly repository: string;
  /** `latest` when neither tag nor digest was given. */
  readonly tag: string | null;
  readonly digest: Digest | null;
}

export interface ReferenceOpts {
  /** For names without a host; `docker.io` when it is not given. */
  readonly defaultRegistry?: string;
}

/** Reads `[registry/]repository[:tag][@digest]`. Throws MSB_ERR_INVALID_REFERENCE with what to write instead. */
export function parseReference(text: string, opts: ReferenceOpts = {}): ImageReference {
  if (text.length > MAX_TEXT_LENGTH) {
    throw invalid(text, `it has ${text.length} characters, the limit is ${MAX_TEXT_LENGTH}`);
  }
  refuseWhatPeopleTry(text);
  const at = text.indexOf("@");
  const digest = at === -1 ? null : checkedDigest(text, text.slice(at + 1));
  const named = at === -1 ? text : text.slice(0, at);
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  const tag = colon === -1 ? null : checkedTag(text, named.slice(colon + 1));
  const { registry, repository } = splitRegistry(
    text,
    colon === -1 ? named : named.slice(0, colon),
    canonicalRegistry(opts.defaultRegistry ?? DEFAULT_REGISTRY),
  );
  checkRepository(text, repository);
  return { registry, repository, tag: tag ?? (digest === null ? DEFAULT_TAG : null), digest };
}

/** The full name, one for every reference: `docker.io/library/python:3.12`, with the digest if there is one. */
export function canonicalName(ref: ImageReference): string {
  return `${ref.registry}/${ref.repository}${suffixOf(ref)}`;
}

/** For people: the shortest text that `parseReference` reads as the same reference. */
export function familiarName(ref: ImageReference, opts: ReferenceOpts = {}): string {
  const home = canonicalRegistry(opts.defaultRegistry ?? DEFAULT_REGISTRY);
  if (ref.registry !== home) return canonicalName(ref);
  const [, official] = /^library\/([^/]+)$/.exec(ref.repository) ?? [];
  const short = home === DEFAULT_REGISTRY && official !== undefined ? official : ref.repository;
  // `docker.io/library/localhost/x` and the like would be read as a host when cut.
  const isAmbiguous = short.includes("/") && looksLikeHost(short.slice(0, short.indexOf("/")));
  return isAmbiguous ? canonicalName(ref) : short + suffixOf(ref);
}

function suffixOf({ tag, digest }: ImageReference): string {
  return (tag === null ? "" : `:${tag}`) + (digest === null ? "" : `@${digest}`);
}

/** Mistakes that deserve better than "not a name". */
function refuseWhatPeopleTry(text: string): void {
  if (text === "") throw invalid(text, "it is empty");
  if (text.trim() !== text) throw invalid(text, "there is white space around it");
  const [scheme] = /^[a-z0-9+.-]+:\/\//i.exec(text) ?? [];
  if (scheme !== undefined) {
    throw invalid(text, `write it without ${scheme}, as in registry.example/name:tag`);
  }
  if (/^[0-9a-f]{64}$/.test(text)) {
    throw invalid(text, "64 hex digits name a digest, not an image; write sha256: before them");
  }
}

function splitRegistry(
  text: string,
  name: string,
  defaultRegistry: string,
): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(slash, 0));
  if (slash === -1 || !looksLikeHost(first)) {
    const isOfficial = slash === -1 && defaultRegistry === DEFAULT_REGISTRY;
    return { registry: defaultRegistry, repository: isOfficial ? OFFICIAL_FOLDER + name : name };
  }
  if (!isHostPort(first)) {
    throw invalid(text, `${quoted(first)} is neither a host nor host:port`);
  }
  const registry = canonicalRegistry(first);
  const rest = name.slice(slash + 1);
  const isOfficial = registry === DEFAULT_REGISTRY && !rest.includes("/");
  return { registry, repository: isOfficial ? OFFICIAL_FOLDER + rest : rest };
}

/** One spelling for every registry; `index.docker.io` is Docker Hub's old name. */
export function canonicalRegistry(host: string): string {
  const lower = host.toLowerCase();
  return lower === "index.docker.io" ? DEFAULT_REGISTRY : lower;
}

/** Docker's rule for whether the first part of a name is a registry or a folder of the default one. */
function looksLikeHost(first: string): boolean {
  return first.includes(".") || first.includes(":") || first.toLowerCase() === "localhost";
}

function checkRepository(text: string, repository: string): void {
  if (repository.length > MAX_REPOSITORY_LENGTH) {
    throw invalid(
      text,
      `the repository has ${repository.length} characters, the limit is ${MAX_REPOSITORY_LENGTH}`,
    );
  }
  const wrong = repository.split("/").find((component) => !COMPONENT.test(component));
  if (wrong === undefined) return;
  if (wrong === "") throw invalid(text, "a part of the name is empty");
  if (COMPONENT.test(wrong.toLowerCase())) {
    throw invalid(text, `names are in lower case; write ${quoted(repository.toLowerCase())}`);
  }
  throw invalid(
    text,
    `${quoted(wrong)} may have a-z and 0-9, and single . or _ or any - or two _ between them`,
  );
}

function checkedTag(text: string, tag: string): string {
  if (tag.length > MAX_TAG_LENGTH) {
    throw invalid(text, `the tag has ${tag.length} characters, the limit is ${MAX_TAG_LENGTH}`);
  }
  if (TAG.test(tag)) return tag;
  if (tag === "") throw invalid(text, "there is no tag after the colon");
  throw invalid(
    text,
    `the tag ${quoted(tag)} may have letters, digits, _ . and -, and no . or - at its start`,
  );
}

function checkedDigest(text: string, digest: string): Digest {
  if (isDigest(digest)) return digest;
  throw invalid(
    text,
    "after @ comes a digest: sha256: and 64, or sha512: and 128, lower-case hex digits",
  );
}

function quoted(text: string): string {
  return `"${printable(text.slice(0, 100))}"`;
}

function invalid(text: string, why: string): MsbError {
  const shown = printable(text.slice(0, 200));
  return new MsbError(
    "MSB_ERR_INVALID_REFERENCE",
    `"${shown}" does not name an image: ${why}. Names are [registry/]repository[:tag][@digest].`,
    { details: { reference: shown } },
  );
}
