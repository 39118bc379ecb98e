/** The images under MSB_HOME: names on top of blobs, and what keeps blobs from being removed. */
import type { MsbPaths } from "../../paths.js";
import type { Digest } from "../digest.js";
import { imageDiskKey } from "../image-disk.js";
import type { ImageInfo, PrunedImages, RemovedImages } from "../image.js";
import type { Descriptor } from "../manifest.js";
import { canonicalName, type ImageReference } from "../reference.js";
import { BlobStore, type BlobStoreOpts, SPOOL_PREFIX } from "./blob-store.js";
import {
  imageHasNames,
  imageIncomplete,
  imageInUse,
  imageWarmed,
  imageNotFound,
  newerStore,
} from "./image-errors.js";
import { contentOf, type ImageDocuments, imageFacts } from "./image-info.js";
import { ImageReader } from "./image-reader.js";
import { resolveImage } from "./resolve-image.js";
import { ImagePin, readPins } from "./pin.js";
import { mark, type StoreParts, sweep } from "./prune.js";
import { fileSize, namesIn, removeIfFree } from "./store-files.js";
import { withStoreLock } from "./store-lock.js";
import { type ImageTag, TagStore } from "./tag-store.js";

export interface ImageStoreOpts extends Pick<BlobStoreOpts, "retry"> {
  /** Told of records that cannot be read, once each; default is Node's `warning` event. */
  readonly onWarning?: (message: string) => void;
}

export interface PruneOpts {
  /** Also images that have names, unless they are in use. */
  readonly all: boolean;
  /** Digests of images (or other content) that sandboxes use. */
  readonly inUse?: ReadonlySet<Digest>;
}

export interface RemoveOpts {
  /** All names of an image that is named by its digest; names of images in use. */
  readonly force?: boolean;
  readonly inUse?: ReadonlySet<Digest>;
}

/** All methods throw MSB_ERR_HOME_UNUSABLE and, where they write, MSB_ERR_NO_SPACE. */
export class ImageStore {
  readonly blobs: BlobStore;
  readonly #tags: TagStore;
  readonly #parts: StoreParts;
  readonly #pins = new Set<ImagePin>();
  readonly #warned = new Set<string>();

  private constructor(
    private readonly paths: MsbPaths,
    private readonly onWarning: (message: string) => void,
    opts: ImageStoreOpts,
  ) {
    const beforePlace = async (digest: Digest): Promise<void> => {
      for (const pin of this.#pins) await pin.add(digest);
    };
    this.blobs = new BlobStore(paths, { ...opts, beforePlace });
    this.#tags = new TagStore(paths);
    this.#parts = { paths, blobs: this.blobs, reader: new ImageReader(paths, this.blobs) };
  }

  /** Removes what dead processes left and nobody can go on with. */
  static async open(paths: MsbPaths, opts: ImageStoreOpts = {}): Promise<ImageStore> {
    const onWarning =
      opts.onWarning ?? ((message) => process.emitWarning(message, { code: "MSB_IMAGE_STORE" }));
    const store = new ImageStore(paths, onWarning, opts);
    await withStoreLock(paths, "shared", () => readPins(paths));
    for (const name of await namesIn(paths.imagePartialRoot)) {
      if (name.startsWith(`${SPOOL_PREFIX}-`)) await removeIfFree(paths.imagePartialFile(name));
    }
    return store;
  }

  /**
   * Keeps content from being pruned while work is under way: what is added to it, and every blob that comes into
   * the store through `blobs` while it is open. Ends with the process at the latest.
   */
  async pin(): Promise<ImagePin> {
    const pin = await ImagePin.open(this.paths, {
      onClose: (closed) => this.#pins.delete(closed),
    });
    this.#pins.add(pin);
    return pin;
  }

  /** One that holds this image alone, however long it is open; the image counts as in use. */
  async keep(image: Digest): Promise<ImagePin> {
    const pin = await ImagePin.open(this.paths, { purpose: "warmed" });
    try {
      await pin.add(image);
      return pin;
    } catch (error) {
      await pin[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Gives the name to an image, taking it from the one that had it. Throws MSB_ERR_IMAGE_NOT_FOUND when part of
   * the image is not in the store.
   */
  async tag(name: ImageReference, manifest: Pick<Descriptor, "digest">): Promise<void> {
    const { digest } = manifest;
    await withStoreLock(this.paths, "shared", async () => {
      const image = await this.#parts.reader.documents(digest);
      const missing = image === undefined ? [digest] : await this.#parts.reader.missing(image);
      if (image === undefined || missing.length > 0) throw imageIncomplete(digest, missing);
      await this.#tags.set(canonicalName(name), image.descriptor);
    });
  }

  /** Takes the name away; the image stays until it is pruned. False when there was no such name. */
  async untag(name: ImageReference): Promise<boolean> {
    return withStoreLock(this.paths, "shared", () => this.#tags.remove(canonicalName(name)));
  }

  /**
   * By name, by digest of the manifest, or by the first digits of one, at least four of them; undefined when there
   * is none, or it is not whole. Throws MSB_ERR_INVALID_REFERENCE for what is neither, and for digits that more
   * than one image begins with.
   */
  async find(text: string): Promise<ImageInfo | undefined> {
    const tags = await this.#readTags();
    const found = await resolveImage(text, tags, this.#parts.reader);
    const image = found && (await this.#parts.reader.documents(found.digest));
    return image && this.#info(image, tags);
  }

  /** Whether `find` would still find it by its digest. */
  async has(digest: Digest): Promise<boolean> {
    return (await this.#parts.reader.documents(digest)) !== undefined;
  }

  /** Throws MSB_ERR_IMAGE_NOT_FOUND when it, or its config, is not there or spoilt; MSB_ERR_IMAGE_INVALID. */
  async load(manifest: Pick<Descriptor, "digest"> | Digest): Promise<ImageInfo> {
    return this.#info(await this.documents(manifest), await this.#readTags());
  }

  /** The manifest and the config themselves. Throws as `load` does. */
  async documents(manifest: Pick<Descriptor, "digest"> | Digest): Promise<ImageDocuments> {
    const digest = typeof manifest === "string" ? manifest : manifest.digest;
    const image = await this.#parts.reader.documents(digest);
    if (image === undefined) throw imageIncomplete(digest, [digest]);
    return image;
  }

  /** Layers that are missing or not what they were, all of them read to see; the spoilt ones are removed. */
  async damagedLayers(
    image: Pick<ImageInfo, "layers">,
    signal?: AbortSignal,
  ): Promise<Descriptor[]> {
    const damaged: Descriptor[] = [];
    const layers = new Map(image.layers.map(({ descriptor }) => [descriptor.digest, descriptor]));
    for (const layer of layers.values()) {
      if (!(await this.blobs.isSound(layer, signal))) damaged.push(layer);
    }
    return damaged;
  }

  /** Images with names in the order of these, then those without a name that are whole. */
  async list(): Promise<ImageInfo[]> {
    const { reader } = this.#parts;
    const tags = await this.#readTags();
    const named = new Set(tags.map(({ manifest }) => manifest.digest));
    const images: ImageInfo[] = [];
    for (const digest of named) {
      const image = await reader.documents(digest);
      if (image !== undefined) images.push(await this.#info(image, tags));
      else this.#warn(`The image ${digest} has a name and is not in the store: pull it again.`);
    }
    for (const digest of await reader.digests()) {
      const image = named.has(digest) ? undefined : await reader.documents(digest);
      if (image === undefined || (await reader.missing(image)).length > 0) continue;
      images.push(await this.#info(image, tags));
    }
    return images;
  }

  /** Removes what no name, no pin and no use needs; see prune.ts. */
  async prune(opts: PruneOpts): Promise<PrunedImages> {
    const inUse = opts.inUse ?? new Set<Digest>();
    return withStoreLock(this.paths, "exclusive", async () => {
      const { tags, unreadable } = await this.#tags.list();
      const newer = unreadable.find(({ isNewer }) => isNewer);
      if (newer !== undefined) throw newerStore(newer.path);
      const pinned = await readPins(this.paths);
      const stays = ({ manifest: { digest } }: ImageTag): boolean =>
        !opts.all || inUse.has(digest) || pinned.digests.has(digest);
      const kept = tags.filter(stays).map(({ manifest }) => manifest.digest);
      // Before anything is removed: an image that cannot be read must not lose its name half-way.
      const marked = await mark([...kept, ...pinned.digests], inUse, this.#parts);
      for (const tag of unreadable) {
        this.#warn(`${tag.path} was removed: ${tag.why}.`);
        await this.#tags.removeUnreadable(tag);
      }
      const names = tags.filter((tag) => !stays(tag)).map(({ name }) => name);
      for (const name of names) await this.#tags.remove(name);
      const onlyWarmed = [...pinned.warmed].filter((digest) => !inUse.has(digest));
      const warmed = onlyWarmed.flatMap((digest) => {
        const own = tags.filter(({ manifest }) => manifest.digest === digest);
        if (own.length === 0) return [digest];
        return opts.all ? own.map(({ name }) => name) : [];
      });
      return { names, warmed, ...(await sweep(marked, this.#parts)) };
    });
  }

  /**
   * Takes names away and removes images that have none left; all of them or, when one cannot be, none. An image
   * that is named by its digest loses all its names, of which there may be only one without `force`. Throws
   * MSB_ERR_IMAGE_NOT_FOUND, MSB_ERR_IMAGE_IN_USE, MSB_ERR_INVALID_REFERENCE.
   */
  async remove(texts: readonly string[], opts: RemoveOpts = {}): Promise<RemovedImages> {
    const { force = false, inUse = new Set<Digest>() } = opts;
    return withStoreLock(this.paths, "exclusive", async () => {
      const { tags, unreadable } = await this.#tags.list();
      const newer = unreadable.find(({ isNewer }) => isNewer);
      if (newer !== undefined) throw newerStore(newer.path);
      const names = new Set<string>();
      const touched = new Set<Digest>();
      for (const text of texts) {
        const found = await resolveImage(text, tags, this.#parts.reader);
        if (found === undefined) throw imageNotFound(text);
        const own = tags.filter(({ manifest }) => manifest.digest === found.digest);
        if (found.name === null && own.length > 1 && !force)
          throw imageHasNames(
            text,
            own.map((tag) => tag.name),
          );
        for (const name of found.name === null ? own.map((tag) => tag.name) : [found.name]) {
          names.add(name);
        }
        touched.add(found.digest);
      }
      const kept = tags.filter(({ name }) => !names.has(name)).map((tag) => tag.manifest.digest);
      const orphans = [...touched].filter((digest) => !kept.includes(digest));
      const used = orphans.find((digest) => inUse.has(digest));
      if (used !== undefined && !force) throw imageInUse(used);
      const pinned = await readPins(this.paths);
      const warmed = orphans.find((digest) => pinned.warmed.has(digest));
      if (warmed !== undefined && !force) throw imageWarmed(warmed);
      const scope = await this.#contentOf(orphans);
      const marked = await mark([...kept, ...pinned.digests], inUse, this.#parts);
      for (const name of names) await this.#tags.remove(name);
      const removed = await sweep(marked, this.#parts, { only: scope });
      return { names: [...names].toSorted(), ...removed };
    });
  }

  async #contentOf(images: readonly Digest[]): Promise<{ blobs: Set<Digest>; disks: Set<string> }> {
    const blobs = new Set<Digest>(images);
    const disks = new Set<string>();
    for (const digest of images) {
      const found = await this.#parts.reader.manifest(digest);
      if (found !== undefined) for (const content of contentOf(found)) blobs.add(content.digest);
      const image = await this.#parts.reader.documents(digest);
      if (image !== undefined) disks.add(imageDiskKey(image.config.rootfs.diff_ids));
    }
    return { blobs, disks };
  }

  async #info(image: ImageDocuments, tags: readonly ImageTag[]): Promise<ImageInfo> {
    const facts = imageFacts(image);
    const own = tags.filter(({ manifest }) => manifest.digest === facts.digest);
    const path = this.paths.imageDisk(imageDiskKey(image.config.rootfs.diff_ids));
    const sizeBytes = await fileSize(path);
    return {
      ...facts,
      names: own.map(({ name }) => name),
      taggedAt:
        own
          .map(({ taggedAt }) => taggedAt)
          .toSorted()
          .at(-1) ?? null,
      disk: sizeBytes === undefined ? null : { path, sizeBytes },
    };
  }

  async #readTags(): Promise<ImageTag[]> {
    const { tags, unreadable } = await this.#tags.list();
    for (const { path, why } of unreadable) this.#warn(`${path} is no name of an image: ${why}.`);
    return tags;
  }

  #warn(message: string): void {
    if (this.#warned.has(message)) return;
    this.#warned.add(message);
    this.onWarning(message);
  }
}
