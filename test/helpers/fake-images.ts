/** Images in memory: what the commands ask for is recorded, what they get is up to the test. */
import type { Writable } from "node:stream";
import type { ImagesApi } from "../../src/cli/context.js";
import type { InspectedImage } from "../../src/oci/images.js";
import { MsbError } from "../../src/errors.js";
import type { Digest } from "../../src/oci/digest.js";
import type { ImageInfo, PrunedImages, RemovedImages } from "../../src/oci/image.js";
import { MediaType } from "../../src/oci/manifest.js";

/** A digest of one repeated digit. */
export const digestOfDigit = (digit: string): Digest => `sha256:${digit.repeat(64)}`;

export function fakeImage(opts: Partial<ImageInfo> = {}): ImageInfo {
  return {
    digest: digestOfDigit("a"),
    names: ["docker.io/library/python:3.12"],
    platform: { os: "linux", architecture: "amd64" },
    layers: [
      {
        descriptor: { mediaType: MediaType.ociLayerGzip, digest: digestOfDigit("1"), size: 30e6 },
        diffId: digestOfDigit("2"),
      },
    ],
    storedBytes: 30_004_000,
    disk: { path: "/home/user/.msb-ts/images/disks/k.erofs", sizeBytes: 81e6 },
    createdAt: "2026-01-01T00:00:00Z",
    taggedAt: "2026-01-21T00:00:00Z",
    config: {
      user: "",
      env: ["PATH=/usr/bin", "LANG=C.UTF-8"],
      entrypoint: [],
      cmd: ["python3"],
      workingDir: "/",
      labels: { team: "blue" },
      exposedPorts: ["8080/tcp"],
      stopSignal: null,
    },
    ...opts,
  };
}

export class FakeImages implements ImagesApi {
  readonly calls: { readonly method: string; readonly args: readonly unknown[] }[] = [];
  images: ImageInfo[] = [fakeImage()];
  removed: RemovedImages = { names: [], digests: [], freedBytes: 0 };
  warmed: readonly string[] = [];
  isClosed = false;

  /** What a method is to do instead of succeeding: throw, or wait. */
  readonly before: Partial<Record<string, (...args: unknown[]) => Promise<void>>> = {};

  async pull(...args: Parameters<ImagesApi["pull"]>): ReturnType<ImagesApi["pull"]> {
    await this.#record("pull", args);
    const image = this.#first();
    return { ...image, disk: image.disk! };
  }

  async ensure(...args: Parameters<ImagesApi["ensure"]>): ReturnType<ImagesApi["ensure"]> {
    await this.#record("ensure", args);
    const image = this.#first();
    return { ...image, disk: image.disk! };
  }

  /** Holds nothing; told when it is let go. */
  async hold(): ReturnType<ImagesApi["hold"]> {
    await this.#record("hold", []);
    const pin = { [Symbol.asyncDispose]: () => this.#record("let go", []) };
    return pin as Awaited<ReturnType<ImagesApi["hold"]>>;
  }

  async list(): Promise<ImageInfo[]> {
    await this.#record("list", []);
    return this.images;
  }

  async inspect(name: string): Promise<InspectedImage> {
    await this.#record("inspect", [name]);
    const image = this.images.find(({ names }) => names.some((known) => known.includes(name)));
    if (image === undefined) throw notFound(name);
    const config = { mediaType: MediaType.ociConfig, digest: digestOfDigit("c"), size: 100 };
    return {
      ...image,
      manifest: { schemaVersion: 2, config, layers: [] },
      rawConfig: {
        os: "linux",
        architecture: "amd64",
        rootfs: { type: "layers", diff_ids: [] },
      },
    };
  }

  async tag(...args: Parameters<ImagesApi["tag"]>): Promise<ImageInfo> {
    await this.#record("tag", args);
    const image = this.#first();
    return { ...image, names: [...image.names, args[1]] };
  }

  async remove(...args: Parameters<ImagesApi["remove"]>): Promise<RemovedImages> {
    await this.#record("remove", args);
    return this.removed;
  }

  async prune(...args: Parameters<ImagesApi["prune"]>): Promise<PrunedImages> {
    await this.#record("prune", args);
    return { ...this.removed, warmed: this.warmed };
  }

  async load(...args: Parameters<ImagesApi["load"]>): Promise<ImageInfo[]> {
    const [source, opts] = args;
    await this.#record("load", [
      typeof source === "string" ? source : await textOf(source),
      opts ?? {},
    ]);
    return this.images;
  }

  async save(...args: Parameters<ImagesApi["save"]>): Promise<void> {
    await this.#record("save", args);
    const target = args[1];
    if (typeof target !== "string") await writeTo(target, "archive");
  }

  async build(...args: Parameters<ImagesApi["build"]>): Promise<ImageInfo> {
    await this.#record("build", args);
    return this.#first();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isClosed = true;
  }

  #first(): ImageInfo {
    const [image] = this.images;
    if (image === undefined) throw new Error("the test gave no image");
    return image;
  }

  async #record(method: string, args: readonly unknown[]): Promise<void> {
    this.calls.push({ method, args });
    await this.before[method]?.(...args);
  }
}

export function notFound(name: string): MsbError {
  return new MsbError("MSB_ERR_IMAGE_NOT_FOUND", `There is no image ${name}.`, {
    details: { name },
  });
}

async function textOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Without an end, as the real ones do. */
function writeTo(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()));
  });
}
