/** A guest that was made ready before anybody asked for it: types only. */
import type { KernelsSnapshot } from "../kernel/kernels.js";
import type { Language } from "../kernel/run-types.js";
import type { OnProgress } from "../util/progress.js";
import type { GuestContext } from "./guest-env.js";
import type { BootOpts, GuestConfig, RunningGuest } from "./guest-source.js";
import type { KeepableImage } from "./kept-images.js";
import type { WarmedImage } from "./service.js";

/** What a sandbox must have in common with a template or a guest that it starts from. */
export interface TemplateShape {
  readonly imageDisk: string;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly diskMiB: number;
}

/** What a template is made of: a shape, and what the image says of its programs. */
export interface TemplateSpec extends TemplateShape {
  readonly context: GuestContext;
  /** Of the interpreter that is started ahead. */
  readonly language?: Language;
}

/** For one start; what that did not use of it is given back in the end. */
export interface HeadStart extends AsyncDisposable {
  readonly spec: TemplateSpec;
  /** Of interpreters that have the spec's context. */
  readonly kernels: KernelsSnapshot;
  /** Of a microVM that runs already. */
  readonly vmId: string | null;
  /** Puts its private disk to `path`, where there is no file. */
  placeDisk(path: string): Promise<void>;
  /** The guest, as one of its own. Throws as `Guest.resume`. */
  start(config: GuestConfig, opts: BootOpts): Promise<RunningGuest>;
  /** It did not work, and nobody else is to get it. */
  giveUp(error: unknown): void;
}

/** What of it those are told who wanted it. */
export type ReadyHeadStart = Pick<WarmedImage, "headStart" | "wasReady" | "keptBytes">;

/** How somebody waits for one to be made. */
export interface WarmOpts {
  /** Nobody else waits for it: it is called off. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** What it is made of; it stays as long as what is made. */
  readonly image?: KeepableImage;
}

/** Where they come from. */
export interface HeadStarts {
  /** One that fits, for this caller alone. Never throws. */
  take(shape: TemplateShape): Promise<HeadStart | undefined>;
  /** After a start that made a new disk: makes what the next one lacks, in the background. Never throws. */
  prepare(spec: TemplateSpec): void;
  /** Throws MSB_ERR_INVALID_STATE, with the option, where `warm` can make nothing. */
  requireOn(): Promise<void>;
  /**
   * Waits until there is one, and makes it if there is none, however often that has failed. Throws as `requireOn`,
   * MSB_ERR_TOO_MANY_SANDBOXES when there is no memory for it, and what each step throws.
   */
  warm(spec: TemplateSpec, opts: WarmOpts): Promise<ReadyHeadStart>;
  /** The microVMs of its own that run. */
  vmIds(): readonly string[];
  close(): Promise<void>;
}
