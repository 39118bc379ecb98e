/** Brings images to where they can be booted: from the store or a registry, with their disks. */
import type { PullPolicy } from "../config.js";
import { isMsbError, MsbError } from "../errors.js";
import type { MsbPaths } from "../paths.js";
import { printable } from "../util/printable.js";
import type { OnProgress } from "../util/progress.js";
import { SharedFlight } from "../util/shared-flight.js";
import { ensureImageDisk } from "./image-disk.js";
import { checkPullable, recipeOf, type WantedImage } from "./image-names.js";
import type { ImageDiskInfo, ImageInfo } from "./image.js";
import type { Platform } from "./manifest.js";
import { formatPlatform, isPlatformMatch } from "./platform.js";
import { fetchLayers, type ImageSource, pullImage } from "./pull.js";
import { canonicalName, familiarName, type ImageReference } from "./reference.js";
import type { ImageStore } from "./store/image-store.js";
import type { ImagePin } from "./store/pin.js";

export type BootableImage = ImageInfo & { readonly disk: ImageDiskInfo };
export type OpenSource = (opts: {
  plainHttp: boolean | undefined;
}) => ImageSource & AsyncDisposable;

export interface ProvideOpts {
  readonly platform: Platform;
  readonly plainHttp: boolean | undefined;
  readonly onProgress: OnProgress | undefined;
  readonly signal: AbortSignal;
}

/** Of the whole process: two openers of one MSB_HOME share their pulls. */
const pulls = new SharedFlight<BootableImage>();

export class ImageProvider {
  constructor(
    private readonly paths: MsbPaths,
    private readonly store: ImageStore,
    private readonly openSource: OpenSource,
  ) {}

  /** From its registry, whether it is here or not. One run for all who want it at the same time. */
  async pull(ref: ImageReference, opts: ProvideOpts): Promise<BootableImage> {
    checkPullable(ref);
    const { platform, plainHttp, onProgress, signal } = opts;
    const name = canonicalName(ref);
    const key = [this.paths.home, name, formatPlatform(platform), plainHttp].join("\n");
    const what = `Pulling ${familiarName(ref)}`;
    return pulls.run(key, { what, onProgress, signal }, async (flightSignal, onFlightProgress) => {
      await using source = this.openSource({ plainHttp });
      await using pin = await this.store.pin();
      const work = { ...opts, pin, onProgress: onFlightProgress, signal: flightSignal };
      let disk: ImageDiskInfo | undefined;
      const prepare = async (image: ImageInfo): Promise<void> => {
        ({ disk } = await this.#withDisk(image, ref, work));
      };
      const image = await pullImage(ref, { ...work, source, store: this.store, prepare });
      return { ...image, disk: disk! };
    });
  }

  /** Waits until pulls that were aborted have ended. */
  async settled(): Promise<void> {
    await pulls.settled();
  }

  /** `name` is for messages. What is given is held by `pin`. */
  async ensure(
    name: string,
    wanted: WantedImage,
    policy: PullPolicy,
    opts: ProvideOpts & { readonly pin: ImagePin },
  ): Promise<BootableImage> {
    const { platform, pin } = opts;
    const { remote } = wanted;
    const found = await this.#findPinned(wanted, policy, platform, pin);
    if (found !== undefined) return this.#withDisk(found, remote, opts);
    if (policy === "never" || remote === null) throw notHere(name, policy, platform);
    try {
      const pull = (): Promise<BootableImage | undefined> => this.#pullPinned(remote, opts);
      const pulled = (await pull()) ?? (await pull());
      if (pulled !== undefined) return pulled;
    } catch (error) {
      throw withRecipe(error, wanted);
    }
    throw notHere(name, policy, platform);
  }

  /** Undefined when a prune took it between the end of the pull, which all its callers share, and this caller's pin. */
  async #pullPinned(
    remote: ImageReference,
    opts: ProvideOpts & { readonly pin: ImagePin },
  ): Promise<BootableImage | undefined> {
    const { digest } = await this.pull(remote, opts);
    await opts.pin.add(digest);
    const held = await this.store.find(digest);
    return held && this.#withDisk(held, remote, opts);
  }

  /** A layer that turns out spoilt or missing is brought again, once. The caller has the image pinned. */
  async #withDisk(
    image: ImageInfo,
    remote: ImageReference | null,
    opts: ProvideOpts,
  ): Promise<BootableImage> {
    const { paths, store } = this;
    const { onProgress, signal } = opts;
    const diskOpts = { store, paths, signal, ...(onProgress === undefined ? {} : { onProgress }) };
    try {
      return { ...image, disk: await ensureImageDisk(image, diskOpts) };
    } catch (error) {
      if (remote === null || !isOfContent(error)) throw error;
      const damaged = await store.damagedLayers(image, signal);
      if (damaged.length === 0) throw error;
      checkPullable(remote);
      await using source = this.openSource(opts);
      await fetchLayers(remote, damaged, { ...opts, source, store });
      return { ...image, disk: await ensureImageDisk(image, diskOpts) };
    }
  }

  /** The first of what is wanted that is here and runs on the platform, held by `pin`. */
  async #findPinned(
    wanted: WantedImage,
    policy: PullPolicy,
    platform: Platform,
    pin: ImagePin,
  ): Promise<ImageInfo | undefined> {
    for (const text of policy === "always" ? wanted.builtHere : wanted.local) {
      const image = await this.store.find(text);
      if (image === undefined || !isPlatformMatch(image.platform, platform)) continue;
      await pin.add(image.digest);
      // It may have been removed before it was held.
      if (await this.store.has(image.digest)) return image;
    }
    return undefined;
  }
}

/** Can it be that a blob is not what it was? A spoilt archive breaks its reader before its digest is known. */
function isOfContent(error: unknown): boolean {
  return (
    isMsbError(error, "MSB_ERR_DIGEST_MISMATCH") ||
    isMsbError(error, "MSB_ERR_IMAGE_NOT_FOUND") ||
    isMsbError(error, "MSB_ERR_IMAGE_INVALID") ||
    isMsbError(error, "MSB_ERR_IMAGE_LIMIT") ||
    isMsbError(error, "MSB_ERR_UNSAFE_LAYER")
  );
}

/** Where no registry answers, an image that can be built is not out of reach. */
function withRecipe(error: unknown, { builtHere: [image] }: WantedImage): unknown {
  if (image === undefined || !isMsbError(error, "MSB_ERR_REGISTRY_UNAVAILABLE")) return error;
  const { message, details } = error;
  const advice = `Without a registry: \`msb-ts image build ${recipeOf(image)}\` makes one of Debian packages.`;
  return new MsbError(error.code, `${message} ${advice}`, { cause: error, details });
}

function notHere(name: string, policy: PullPolicy, platform: Platform): MsbError {
  const shown = printable(name.slice(0, 300));
  const advice =
    policy === "never"
      ? "Pull it first, or set pullPolicy (MSB_PULL_POLICY) to missing"
      : "A digest does not say where to pull from: name it as repository@sha256:…";
  return new MsbError(
    "MSB_ERR_IMAGE_NOT_FOUND",
    `There is no image "${shown}" for ${formatPlatform(platform)} here. ${advice}.`,
    { details: { image: name, platform: formatPlatform(platform) } },
  );
}
