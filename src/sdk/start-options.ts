/** What a sandbox is started with. */
import type { ProgressView } from "../api/images.js";
import type { SandboxSpecBody } from "../api/sandboxes.js";
import { envEntries, given, invalid, milliseconds } from "./options.js";

/** How far the download of an image, or the making of its disk, is. */
export type ImageProgress = ProgressView;

export interface StartOpts {
  /**
   * Any OCI image, by the name that `msb-ts image pull` takes. Default: `python` for PythonSandbox, `node` for
   * NodeSandbox; Sandbox needs one, unless one of its name is stored on the server.
   */
  readonly image?: string | undefined;
  /** Memory in MiB. Default 512. */
  readonly memory?: number | undefined;
  /** CPU cores; rounded to the nearest integer, at least 1. Default 1. */
  readonly cpus?: number | undefined;
  /**
   * Seconds until the start, with the download of the image if that is needed, fails with MSB_ERR_REQUEST_TIMEOUT.
   * Default 180; Infinity for no limit.
   */
  readonly timeout?: number | undefined;
  /** Calls the start off: MSB_ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
  /** Told of the image's download and of its disk. */
  readonly onProgress?: ((progress: ImageProgress) => void) | undefined;
  /** Variables of all code and commands, on top of the image's own. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Where code and commands start. Default: the image's. */
  readonly workdir?: string | undefined;
  /** Whom code and commands run as. Default: the image's. */
  readonly user?: string | undefined;
  /** For `Sandbox.list`. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Size of the private disk in MiB: what the sandbox can write. Default 4096. */
  readonly diskMiB?: number | undefined;
  /** Seconds without a call after which the server stops it; 0 for never. Default: the server's setting. */
  readonly idleTimeout?: number | undefined;
  /** Seconds after its start at which the server stops it; 0 for never. Default: the server's setting. */
  readonly maxLifetime?: number | undefined;
}

export const DEFAULT_START_SECONDS = 180;
const DEFAULT_MEMORY_MIB = 512;
const DEFAULT_CPUS = 1;
/** What says what a sandbox is made of, besides its image. */
const SPEC_OPTIONS = [
  "memory",
  "cpus",
  "env",
  "workdir",
  "user",
  "labels",
  "diskMiB",
  "idleTimeout",
  "maxLifetime",
] as const satisfies readonly (keyof StartOpts)[];

/** Null to start what is stored: there is no image, and nothing else that says what it shall be. */
export function startSpec(opts: StartOpts, defaultImage: string | null): SandboxSpecBody | null {
  const image = opts.image ?? defaultImage;
  if (image !== null) return specOf(image, opts);
  const option = SPEC_OPTIONS.find((name) => opts[name] !== undefined);
  if (option === undefined) return null;
  throw invalid(
    option,
    "needs an image: what a sandbox is made of is said as a whole. Give image, too.",
  );
}

function specOf(image: string, opts: StartOpts): SandboxSpecBody {
  const { memory = DEFAULT_MEMORY_MIB, cpus = DEFAULT_CPUS, workdir, user, diskMiB } = opts;
  if (!Number.isFinite(cpus) || cpus <= 0) throw invalid("cpus", "must be a number above 0.");
  return given({
    image,
    memoryMiB: memory,
    cpus: Math.max(1, Math.round(cpus)),
    diskMiB,
    env: opts.env && envEntries(opts.env),
    workdir,
    user,
    labels: opts.labels && { ...opts.labels },
    idleTimeoutMs: optionalMs("idleTimeout", opts.idleTimeout),
    maxLifetimeMs: optionalMs("maxLifetime", opts.maxLifetime),
  });
}

function optionalMs(option: string, seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : milliseconds(option, seconds);
}
