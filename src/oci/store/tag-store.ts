/** Names of images: one small JSON file a name, replaced as a whole. */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { MsbPaths } from "../../paths.js";
import { writeFileAtomic } from "../../util/atomic-file.js";
import { errnoOf, fileError } from "../../util/file-error.js";
import { KeptReads } from "../../util/kept-reads.js";
import { type Digest, isDigest } from "../digest.js";
import type { Descriptor } from "../manifest.js";
import { namesIn, removeFile } from "./store-files.js";

/** Goes up when a program that knows only the older records would do harm. */
const VERSION = 1;
const MAX_RECORD_BYTES = 64 * 1024;
const MAX_KEPT = 1_000;

const RecordSchema = Type.Object({
  version: Type.Literal(VERSION),
  name: Type.String({ minLength: 1 }),
  manifest: Type.Object({
    mediaType: Type.String(),
    digest: Type.String(),
    size: Type.Integer({ minimum: 0 }),
  }),
  taggedAt: Type.String(),
});

export interface ImageTag {
  /** Canonical: `docker.io/library/python:3.12`. */
  readonly name: string;
  readonly manifest: Descriptor;
  /** ISO 8601. */
  readonly taggedAt: string;
}

/** A record that says nothing. */
export interface UnreadableTag {
  readonly path: string;
  readonly why: string;
  /** It is of a newer version of this software, so there is an image behind it. */
  readonly isNewer: boolean;
}

export class TagStore {
  readonly #kept = new KeptReads<ImageTag | UnreadableTag>(MAX_KEPT);

  constructor(private readonly paths: MsbPaths) {}

  /** All names, sorted, and what of the folder cannot be read. */
  async list(): Promise<{ tags: ImageTag[]; unreadable: UnreadableTag[] }> {
    const tags: ImageTag[] = [];
    const unreadable: UnreadableTag[] = [];
    for (const fileName of await namesIn(this.paths.imageTagRoot)) {
      const [, key] = /^([0-9a-f]{64})\.json$/.exec(fileName) ?? [];
      const found = key === undefined ? undefined : await this.#read(key);
      if (found === undefined) continue;
      if ("why" in found) unreadable.push(found);
      else tags.push(found);
    }
    tags.sort((a, b) => (a.name < b.name ? -1 : 1));
    return { tags, unreadable };
  }

  /** Undefined when there is no such name, or its record cannot be read. */
  async get(name: string): Promise<ImageTag | undefined> {
    const found = await this.#read(keyOf(name));
    return found === undefined || "why" in found ? undefined : found;
  }

  /** Throws MSB_ERR_NO_SPACE, MSB_ERR_HOME_UNUSABLE. */
  async set(name: string, { mediaType, digest, size }: Descriptor): Promise<void> {
    const record: Static<typeof RecordSchema> = {
      version: VERSION,
      name,
      manifest: { mediaType, digest, size },
      taggedAt: new Date().toISOString(),
    };
    const path = this.paths.imageTag(keyOf(name));
    await writeFileAtomic(path, `${JSON.stringify(record)}\n`).catch((error: unknown) => {
      throw fileError(error, path, "written");
    });
  }

  /** False when there was none. */
  async remove(name: string): Promise<boolean> {
    return removeFile(this.paths.imageTag(keyOf(name)));
  }

  async removeUnreadable({ path }: UnreadableTag): Promise<boolean> {
    return removeFile(path);
  }

  async #read(key: string): Promise<ImageTag | UnreadableTag | undefined> {
    const path = this.paths.imageTag(key);
    return this.#kept.get(path, async () => {
      const text = await readRecord(path);
      return text === undefined ? undefined : parseRecord(text, key, path);
    });
  }
}

/** A name can be longer than a file name may be, and has slashes. */
function keyOf(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}

/** Undefined when there is no file; the empty text, which is no record, for what is no small file. */
async function readRecord(path: string): Promise<string | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    const file = await open(path, flags);
    try {
      const info = await file.stat();
      return info.isFile() && info.size <= MAX_RECORD_BYTES ? await file.readFile("utf8") : "";
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (errnoOf(error) === "ELOOP") return "";
    throw fileError(error, path, "read");
  }
}

function parseRecord(text: string, key: string, path: string): ImageTag | UnreadableTag {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { path, why: "it is not JSON", isNewer: false };
  }
  const { version } = (json ?? {}) as { version?: unknown };
  if (typeof version === "number" && version > VERSION) {
    return { path, why: "a newer version of msb-ts wrote it", isNewer: true };
  }
  if (!Value.Check(RecordSchema, json) || !isDigest(json.manifest.digest)) {
    return { path, why: "fields are missing or wrong", isNewer: false };
  }
  if (keyOf(json.name) !== key) {
    return { path, why: "it is the record of another name", isNewer: false };
  }
  const { mediaType, size } = json.manifest;
  const digest: Digest = json.manifest.digest;
  return { name: json.name, manifest: { mediaType, digest, size }, taggedAt: json.taggedAt };
}
