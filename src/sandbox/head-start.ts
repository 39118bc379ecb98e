/** A guest that was made ready before anybody asked for it: types only. */
import type { KernelsSnapshot } from "../kernel/kernels.js";
import type { Language } from "../kernel/run-types.js";
import type { GuestContext } from "./guest-env.js";
import type { BootOpts, GuestConfig, RunningGuest } from "./guest-source.js";

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

/** Where they come from. */
export interface HeadStarts {
  /** One that fits, for this caller alone. */
  take(shape: TemplateShape): HeadStart | undefined;
  /** After a start that made a new disk: makes what the next one lacks, in the background. Never throws. */
  prepare(spec: TemplateSpec): void;
  /** The microVMs of its own that run. */
  vmIds(): readonly string[];
  close(): Promise<void>;
}
