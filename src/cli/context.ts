/** What a command sees of the world; tests give it another one. */
import type { Readable, Writable } from "node:stream";
import type { Env, HypervisorChoice } from "../config.js";
import type { Images } from "../oci/images.js";
import type { OneRun, RunOnceOpts, RunOnceRequest } from "../sandbox/run-once.js";
import type { ServiceHost } from "./service-host.js";

/** A stream that knows whether it is a terminal, as those of a process do. */
export type OutputStream = Writable & { isTTY?: boolean; columns?: number; rows?: number };
export type InputStream = Readable & {
  isTTY?: boolean;
  setRawMode?: (isRaw: boolean) => unknown;
  fd?: number;
};

export interface CliContext {
  readonly stdin: InputStream;
  /** Results and nothing else. */
  readonly stdout: OutputStream;
  /** Progress, questions, errors. */
  readonly stderr: OutputStream;
  readonly env: Env;
  /** Aborts when the user or the system wants the command to end; its reason is an MsbError. */
  readonly signal: AbortSignal;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Opened on first use, the same one afterwards. */
  readonly images: () => Promise<ImagesApi>;
  /** Starts a command in a microVM of this process. */
  readonly runOnce: RunOnce;
  /** For commands that serve. */
  readonly service: ServiceHost;
  /** What was wrong and did not stop the work; told when the command has ended. */
  readonly warnings: readonly string[];
  /** Closes what was opened. */
  readonly close: () => Promise<void>;
}

/** The images of this machine, as the commands use them; types only, so that help does not load them. */
export type ImagesApi = Omit<Images, "keep">;

export type RunOnce = (request: RunOnceRequest, opts: LocalRunOpts) => Promise<OneRun>;
/** What is not the business of commands comes with it. */
export type LocalRunOpts = Pick<RunOnceOpts, "images" | "pullPolicy" | "onProgress" | "signal"> & {
  readonly env: Env;
  readonly hypervisor?: HypervisorChoice;
  /** Told when `auto` takes QEMU, with the reason. */
  readonly onFallback?: (reason: string) => void;
};

export function isTerminal(stream: OutputStream | InputStream): boolean {
  return stream.isTTY === true;
}

/** Build servers give some programs a terminal, too, with nobody in front of it. */
export function isContinuousIntegration(env: Env): boolean {
  return !["", "0", "false"].includes((env["CI"] ?? "").toLowerCase());
}

/** Is somebody there to be asked? */
export function isInteractive(ctx: CliContext): boolean {
  return isTerminal(ctx.stdin) && isTerminal(ctx.stderr) && !isContinuousIntegration(ctx.env);
}
