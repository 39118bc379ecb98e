/** The images of one MSB_HOME, for the CLI and the server: everything that can be done with them, in one class. */
import type { Writable } from "node:stream";
import { type Env, imageConfig, type PullPolicy } from "../config.js";
import { MsbError } from "../errors.js";
import { type MsbPaths, msbPaths } from "../paths.js";
import { readSettings, type Settings } from "../settings.js";
import { LinkedAbort } from "../util/linked-abort.js";
import { printable } from "../util/printable.js";
import type { OnProgress } from "../util/progress.js";
import { loadArchive } from "./archive/load.js";
import { type ArchiveFormat, saveArchive } from "./archive/save.js";
import type { Digest } from "./digest.js";
import { isDigits, readReference, wantedImage } from "./image-names.js";
import { type BootableImage, ImageProvider, type OpenSource } from "./image-provider.js";
import type { ImageInfo, PrunedImages, RemovedImages } from "./image.js";
import type { ImageConfig, Manifest, Platform } from "./manifest.js";
import { hostPlatform, parsePlatform } from "./platform.js";
import { buildRecipe } from "./recipe/build.js";
import { readRecipe, recipeFolder } from "./recipe/recipe.js";
import { canonicalName, parseReference } from "./reference.js";
import { RegistryClient } from "./registry/registry-client.js";
import { imageNotFound } from "./store/image-errors.js";
import { ImageStore } from "./store/image-store.js";
import type { ImagePin } from "./store/pin.js";

export interface OpenImagesOpts {
  readonly paths?: MsbPaths;
  readonly env?: Env;
  /** In place of what `settings.json` says. */
  readonly settings?: Settings;
  /** Digests of the images that sandboxes use: they are not removed. */
  readonly inUse?: () => Promise<ReadonlySet<Digest>>;
  /** Told of what is wrong with the store and does not stop the work; default is Node's `warning` event. */
  readonly onWarning?: (message: string) => void;
  /** Where images come from, in place of registries. */
  readonly openSource?: OpenSource;
}

export interface ImageWorkOpts {
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

export interface PullImageOpts extends ImageWorkOpts {
  /** `linux/amd64`; default is the host's CPU. */
  readonly platform?: string;
  /** Plain HTTP for this registry, wherever it is; default is what settings say, else on loopback only. */
  readonly plainHttp?: boolean;
}

export interface EnsureImageOpts extends ImageWorkOpts {
  readonly pullPolicy?: PullPolicy;
  readonly platform?: string;
  /** Of `hold`: keeps the image and its disk from being pruned for as long as it is open. */
  readonly pin?: ImagePin;
}

export type { BootableImage } from "./image-provider.js";

export type InspectedImage = ImageInfo & {
  readonly manifest: Manifest;
  readonly rawConfig: ImageConfig;
};

/** An image of the store and by which name it was found; null when it was by its digest. */
interface LocalImage {
  readonly image: ImageInfo;
  readonly name: string | null;
}

/** All methods throw MSB_ERR_HOME_UNUSABLE and, where they write, MSB_ERR_NO_SPACE. */
export class Images implements AsyncDisposable {
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  readonly #provider: ImageProvider;

  private constructor(
    private readonly paths: MsbPaths,
    private readonly env: Env,
    private readonly settings: Settings,
    private readonly store: ImageStore,
    private readonly opts: OpenImagesOpts,
  ) {
    const openSource: OpenSource = ({ plainHttp }) =>
      RegistryClient.open({ settings, env, plainHttp });
    this.#provider = new ImageProvider(paths, store, opts.openSource ?? openSource);
  }

  /** Throws MSB_ERR_SETTINGS_INVALID. */
  static async open(opts: OpenImagesOpts = {}): Promise<Images> {
    const env = opts.env ?? process.env;
    const paths = opts.paths ?? msbPaths(env["MSB_HOME"] || undefined);
    const settings = opts.settings ?? (await readSettings(paths));
    const { onWarning } = opts;
    const store = await ImageStore.open(paths, onWarning === undefined ? {} : { onWarning });
    return new Images(paths, env, settings, store, opts);
  }

  /** Ends what is under way with MSB_ERR_ABORTED. What was downloaded stays, to go on with. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new MsbError("MSB_ERR_ABORTED", "The images were closed."));
    await Promise.allSettled(this.#running);
    await this.#provider.settled();
  }

  /** Downloads the image, whether it is here or not, and makes its disk. */
  async pull(name: string, opts: PullImageOpts = {}): Promise<BootableImage> {
    return this.#run(opts, async (signal) => {
      const { remote } = wantedImage(name, this.settings);
      if (remote === null) throw digestAlone(name);
      const { plainHttp, onProgress } = opts;
      const platform = platformOf(opts.platform);
      return this.#provider.pull(remote, { platform, plainHttp, onProgress, signal });
    });
  }

  /**
   * What a sandbox boots: the image that `name` stands for, pulled as the policy says, with its disk. An image
   * here for another platform is as good as none.
   */
  async ensure(name: string, opts: EnsureImageOpts = {}): Promise<BootableImage> {
    const { pullPolicy } = imageConfig(opts, this.env);
    return this.#run(opts, async (signal) => {
      await using own = opts.pin === undefined ? await this.store.pin() : null;
      return await this.#provider.ensure(name, wantedImage(name, this.settings), pullPolicy, {
        platform: platformOf(opts.platform),
        plainHttp: undefined,
        onProgress: opts.onProgress,
        signal,
        pin: opts.pin ?? own!,
      });
    });
  }

  /** For `ensure`: what it brings stays until this is disposed of, which is when something else names the image. */
  async hold(): Promise<ImagePin> {
    return this.store.pin();
  }

  /** An image of the store stays, and counts as in use, until what this gives is disposed of. */
  async keep(image: Digest): Promise<ImagePin> {
    return this.store.keep(image);
  }

  /** Named ones first, sorted by name. */
  async list(): Promise<ImageInfo[]> {
    return this.store.list();
  }

  /** Throws MSB_ERR_IMAGE_NOT_FOUND. */
  async inspect(name: string): Promise<InspectedImage> {
    const { image } = await this.#find(name);
    const { manifest, config } = await this.store.documents(image.digest);
    return { ...image, manifest, rawConfig: config };
  }

  /** Gives an image one more name, taking it from the image that had it. */
  async tag(source: string, target: string): Promise<ImageInfo> {
    const ref = readReference(target, this.settings);
    if (ref.digest !== null) throw digestInName(target);
    const { image } = await this.#find(source);
    await this.store.tag(ref, image);
    return this.store.load(image);
  }

  /**
   * Takes names away, and removes images that have none left. A name is the one by which `inspect` finds the image,
   * also where that is an alias. Without `force` an image that a sandbox uses or a server has warmed keeps its last
   * name, and one that is given by its digest may have only one.
   */
  async remove(names: readonly string[], opts: { force?: boolean } = {}): Promise<RemovedImages> {
    const inUse = await this.#inUse();
    const texts = await Promise.all(names.map((name) => this.#removable(name)));
    return this.store.remove(texts, { force: opts.force ?? false, inUse });
  }

  /**
   * Removes images without a name, disks without an image, and downloads nobody is at work on; with `all` also
   * named images that no sandbox uses and no server has warmed.
   */
  async prune(opts: { all?: boolean } = {}): Promise<PrunedImages> {
    return this.store.prune({ all: opts.all ?? false, inUse: await this.#inUse() });
  }

  /** From `docker save`, or an OCI layout: the path of a tar file or a folder, or a tar stream. */
  async load(
    source: string | AsyncIterable<Uint8Array>,
    opts: ImageWorkOpts & { name?: string; platform?: string } = {},
  ): Promise<ImageInfo[]> {
    const name = opts.name === undefined ? undefined : readReference(opts.name, this.settings);
    return this.#run(opts, async (signal) => {
      await using pin = await this.store.pin();
      const loaded = await loadArchive(source, {
        store: this.store.blobs,
        tempDir: this.paths.tempDir,
        platform: platformOf(opts.platform),
        pin,
        signal,
        ...(opts.onProgress === undefined ? {} : { onProgress: opts.onProgress }),
      });
      if (name !== undefined && loaded.length !== 1) throw notOneImage(loaded.length);
      for (const { manifest, names } of loaded) {
        const refs = name === undefined ? names.map((text) => parseReference(text)) : [name];
        for (const ref of refs) await this.store.tag(ref, manifest);
      }
      return Promise.all(loaded.map(({ manifest }) => this.store.load(manifest)));
    });
  }

  /** To a file, a folder (`oci-dir`), or a stream, which is not ended; with the names that are given here. */
  async save(
    names: readonly string[],
    target: string | Writable,
    opts: ImageWorkOpts & { format?: ArchiveFormat } = {},
  ): Promise<void> {
    return this.#run(opts, async (signal) => {
      await using pin = await this.store.pin();
      const saved = new Map<Digest, string[]>();
      for (const text of names) {
        const { image, name } = await this.#find(text);
        await pin.add(image.digest);
        saved.set(image.digest, [...(saved.get(image.digest) ?? []), ...(name ? [name] : [])]);
      }
      const images = [...saved].map(async ([digest, given]) => ({
        manifest: (await this.store.documents(digest)).descriptor,
        names: [...new Set(given)].toSorted(),
      }));
      const { format, onProgress } = opts;
      await saveArchive(await Promise.all(images), target, {
        store: this.store.blobs,
        signal,
        ...(format === undefined ? {} : { format }),
        ...(onProgress === undefined ? {} : { onProgress }),
      });
    });
  }

  /** `base`, `python`, `node`, or the folder of a recipe; the image gets the recipe's name. */
  async build(
    recipe: string,
    opts: ImageWorkOpts & { platform?: string } = {},
  ): Promise<ImageInfo> {
    return this.#run(opts, async (signal) => {
      const folder = recipeFolder(recipe);
      const { name } = await readRecipe(folder);
      const ref = parseReference(name);
      await using _pin = await this.store.pin();
      const manifest = await buildRecipe(folder, {
        store: this.store.blobs,
        platform: platformOf(opts.platform),
        env: this.env,
        signal,
        ...(opts.onProgress === undefined ? {} : { onProgress: opts.onProgress }),
      });
      await this.store.tag(ref, manifest);
      return this.store.load(manifest);
    });
  }

  /** Runs until it ends, the caller's signal aborts, or this is closed. */
  async #run<T>(
    opts: { signal?: AbortSignal },
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    using either = new LinkedAbort(this.#closing.signal, opts.signal);
    const running = work(either.signal);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Throws MSB_ERR_IMAGE_NOT_FOUND. */
  async #find(name: string): Promise<LocalImage> {
    for (const text of wantedImage(name, this.settings).local) {
      const image = await this.store.find(text);
      if (image !== undefined) return { image, name: image.names.includes(text) ? text : null };
    }
    const image = isDigits(name) ? await this.store.find(name) : undefined;
    if (image === undefined) throw imageNotFound(name);
    return { image, name: null };
  }

  /** What the store is to remove. What cannot be found may still have a name there, of an image that is not whole. */
  async #removable(name: string): Promise<string> {
    for (const text of wantedImage(name, this.settings).local) {
      if ((await this.store.find(text)) !== undefined) return text;
    }
    return isDigits(name) ? name : canonicalName(readReference(name, this.settings));
  }

  async #inUse(): Promise<ReadonlySet<Digest>> {
    return (await this.opts.inUse?.()) ?? new Set();
  }
}

function platformOf(text: string | undefined): Platform {
  return text === undefined ? hostPlatform() : parsePlatform(text);
}

function digestAlone(name: string): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_REFERENCE",
    `"${printable(name.slice(0, 160))}" does not say where to pull from: name it as repository@sha256:…`,
  );
}

function digestInName(name: string): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_REFERENCE",
    `"${printable(name.slice(0, 400))}" cannot be given to an image: a name that one gives has no digest. Use ` +
      "repository:tag.",
  );
}

function notOneImage(count: number): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `The archive has ${count} images, so the option name cannot say which one is meant. Load it without name; each ` +
      "image is then named as the archive says.",
    { details: { count } },
  );
}
