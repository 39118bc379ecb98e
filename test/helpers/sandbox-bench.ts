/** A SandboxManager with everything around it in memory, but for its records: those are real files. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { onTestFinished } from "vitest";
import type { OpenKernelsOpts } from "../../src/kernel/kernels.js";
import type { BootableImage } from "../../src/oci/images.js";
import type { Digest } from "../../src/oci/digest.js";
import type { ImagePin } from "../../src/oci/store/pin.js";
import { msbPaths } from "../../src/paths.js";
import type { SandboxManagerOpts } from "../../src/sandbox/manager-opts.js";
import type { SandboxNotice } from "../../src/sandbox/notice.js";
import { SandboxManager } from "../../src/sandbox/sandbox-manager.js";
import { MsbError } from "../../src/errors.js";
import { FakeGuests } from "./fake-guests.js";
import { digestOfDigit, fakeImage } from "./fake-images.js";
import { FakeKernels } from "./fake-kernels.js";
import { ManualClock } from "./manual-clock.js";
import { tempDir } from "./temp-dir.js";

export const KEY = { namespace: "default", name: "box" };
export const SPEC = { image: "python", memoryMiB: 512 };

/** Images by name; what `ensure` is asked for is kept. */
export class BenchImages {
  readonly asked: string[] = [];
  readonly images = new Map<string, BootableImage>();
  before: (name: string, signal: AbortSignal | undefined) => Promise<void> = async () => {};
  /** How many holders there are of what was given. */
  holds = 0;
  /** What counts as in use. */
  readonly kept: Digest[] = [];

  constructor() {
    this.add("python", "a");
    this.add("node", "b");
  }

  add(name: string, digit: string, config: Partial<BootableImage["config"]> = {}): Digest {
    const image = fakeImage({
      digest: digestOfDigit(digit),
      names: [`docker.io/library/${name}:latest`],
    });
    const merged = { ...image.config, ...config };
    const disk = { path: `/images/${digit}.erofs`, sizeBytes: 1 };
    this.images.set(name, { ...image, config: merged, disk });
    return image.digest;
  }

  async hold(): Promise<ImagePin> {
    this.holds++;
    const end = async (): Promise<void> => void this.holds--;
    return { [Symbol.asyncDispose]: end } as ImagePin;
  }

  async keep(digest: Digest): Promise<ImagePin> {
    this.kept.push(digest);
    const end = async (): Promise<void> => void this.kept.splice(this.kept.indexOf(digest), 1);
    return { [Symbol.asyncDispose]: end } as ImagePin;
  }

  async ensure(name: string, opts: { signal?: AbortSignal } = {}): Promise<BootableImage> {
    this.asked.push(name);
    await this.before(name, opts.signal);
    const digest = /sha256:\w+$/.exec(name)?.[0];
    const found =
      this.images.get(name) ?? [...this.images.values()].find((image) => image.digest === digest);
    if (found === undefined) throw new MsbError("MSB_ERR_IMAGE_NOT_FOUND", `no image ${name}`);
    return found;
  }
}

export class SandboxBench {
  readonly guests = new FakeGuests();
  readonly images = new BenchImages();
  readonly clock = new ManualClock();
  readonly notices: SandboxNotice[] = [];
  readonly kernels: FakeKernels[] = [];
  readonly disks: string[] = [];
  onKernels: (kernels: FakeKernels) => Promise<void> = async () => {};
  /** Of the host's memory, which has 1 TiB. */
  freeBytes = 2 ** 39;
  beforeDisk: () => Promise<void> = async () => {};

  private constructor(readonly home: string) {}

  static async make(): Promise<SandboxBench> {
    const bench = new SandboxBench(await tempDir());
    onTestFinished(() => bench.guests.stop());
    return bench;
  }

  get paths() {
    return msbPaths(this.home);
  }

  /** One more server on the same home. */
  async open(opts: Partial<SandboxManagerOpts> = {}): Promise<SandboxManager> {
    return SandboxManager.open({
      paths: this.paths,
      guests: this.guests,
      images: this.images,
      openKernels: (_agent, kernelOpts) => this.#openKernels(kernelOpts),
      makeUpperDisk: async (path) => {
        await this.beforeDisk();
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, `disk ${this.disks.length}`, { flag: "wx" });
        this.disks.push(path);
      },
      readProcessUsage: async () => null,
      readHostMemory: () => ({ freeBytes: this.freeBytes, totalBytes: 2 ** 40 }),
      clock: this.clock,
      onNotice: (notice) => this.notices.push(notice),
      budget: { sandboxes: 100, memoryMiB: 1_000_000, vcpus: 1_000 },
      ...opts,
    });
  }

  /** Types of a sandbox's events, in order. */
  events(): string[] {
    return this.notices.flatMap((notice) => (notice.kind === "event" ? [notice.event.type] : []));
  }

  infos(): string[] {
    return this.notices.flatMap((notice) => (notice.kind === "info" ? [notice.message] : []));
  }

  warnings(): string[] {
    return this.notices.flatMap((notice) => (notice.kind === "warning" ? [notice.message] : []));
  }

  async #openKernels(opts: OpenKernelsOpts): Promise<FakeKernels> {
    const kernels = new FakeKernels(opts);
    this.kernels.push(kernels);
    await this.onKernels(kernels);
    return kernels;
  }
}

export const NOTHING_USED = { sandboxes: 0, memoryMiB: 0, vcpus: 0 };
