/** Where libkrun and the guest kernel come from: variables, then setup's copies, then the system, then setup. */
import { createHash } from "node:crypto";
import { access, constants } from "node:fs/promises";
import { join, resolve as absolute } from "node:path";
import { isMsbError, messageOf, MsbError } from "../errors.js";
import type { MsbPaths } from "../paths.js";
import { SingleFlight } from "../util/async.js";
import {
  type ComponentName,
  type ComponentPin,
  LIBRARY_VARIABLES,
  PINNED_PLATFORMS,
  type PlatformPins,
} from "./components.js";
import type { FetchProgress } from "./fetch.js";
import { ensureKernel, type GuestKernel } from "./kernel.js";
import { findSystemLibrary } from "./system-libraries.js";
import { isIntact } from "./verified-file.js";

export type { FetchProgress } from "./fetch.js";

/** `env`: a variable names it; `setup`: our pinned copy; `system`: a package manager's. */
export type ComponentSource = "env" | "setup" | "system";

export interface LibraryInfo {
  readonly path: string;
  readonly source: ComponentSource;
}

export interface RuntimeComponents {
  /** The library, or why there is none; QEMU needs the kernel alone. */
  readonly libkrun: LibraryInfo | { readonly missing: MsbError };
  readonly kernel: GuestKernel & { readonly source: ComponentSource };
}

export interface ResolveRuntimeOpts {
  readonly paths: MsbPaths;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly onProgress?: (progress: FetchProgress) => void;
  readonly signal?: AbortSignal;
  /** Takes what is there or in npm's cache, and nothing from the network. */
  readonly isOffline?: boolean;
  /** For tests: another table, another platform, no system libraries. */
  readonly platform?: string;
  readonly pins?: Readonly<Record<string, PlatformPins>>;
  readonly findSystemLibrary?: (name: ComponentName) => Promise<string | undefined>;
}

const flights = new SingleFlight<string>();

/**
 * Finds the runtime components and fetches what is missing. With everything in place it works
 * offline and costs a few stats. Throws MSB_ERR_COMPONENT_*, MSB_ERR_KERNEL_INVALID,
 * MSB_ERR_PLATFORM_UNSUPPORTED, MSB_ERR_NO_SPACE, MSB_ERR_ABORTED.
 */
export async function resolveRuntime(opts: ResolveRuntimeOpts): Promise<RuntimeComponents> {
  const kernelLibrary = await findOrFetch("libkrunfw", opts);
  const kernel = await ensureKernel(kernelLibrary.path, kernelFolder(kernelLibrary, opts));
  return {
    libkrun: await resolveLibkrun(opts),
    kernel: { ...kernel, source: kernelLibrary.source },
  };
}

/** Brings the pinned copies of everything, whatever the system has; then resolves as usual. */
export async function fetchPinned(opts: ResolveRuntimeOpts): Promise<RuntimeComponents> {
  const pins = pinsOf(opts);
  if (pins !== undefined) {
    for (const pin of [pins.libkrunfw, pins.libkrun]) {
      if (pin !== null) await ensurePinned(pin, pins, opts);
    }
  }
  return resolveRuntime(opts);
}

async function resolveLibkrun(opts: ResolveRuntimeOpts): Promise<RuntimeComponents["libkrun"]> {
  try {
    return await findOrFetch("libkrun", opts);
  } catch (error) {
    if (!isMsbError(error) || error.code === "MSB_ERR_ABORTED") throw error;
    // Not fatal: the QEMU driver does without it, and libkrun's says what is wrong.
    return { missing: error };
  }
}

/** What is here of a component, without fetching it; undefined when `setup` would. Throws for a wrong variable. */
export async function findComponent(
  name: ComponentName,
  opts: ResolveRuntimeOpts,
): Promise<LibraryInfo | undefined> {
  const named = envOf(opts)[LIBRARY_VARIABLES[name]];
  if (named) return { path: await checkNamed(name, absolute(named)), source: "env" };
  const pins = pinsOf(opts);
  const pin = pins?.[name];
  if (pins !== undefined && pin != null) {
    const path = join(opts.paths.runtimeDir(pins.folder), pin.fileName);
    if (await isIntact(path, pin.memberSha512)) return { path, source: "setup" };
  }
  const system = await (opts.findSystemLibrary ?? findSystemLibrary)(name);
  return system === undefined ? undefined : { path: system, source: "system" };
}

async function findOrFetch(name: ComponentName, opts: ResolveRuntimeOpts): Promise<LibraryInfo> {
  const found = await findComponent(name, opts);
  if (found !== undefined) return found;
  const pins = pinsOf(opts);
  const pin = pins?.[name];
  if (pins === undefined || pin == null) throw unsupported(name, opts);
  return { path: await ensurePinned(pin, pins, opts), source: "setup" };
}

/** One download at a time in this process; two processes at worst both fetch and rename the same file. */
async function ensurePinned(
  pin: ComponentPin,
  pins: PlatformPins,
  opts: ResolveRuntimeOpts,
): Promise<string> {
  const folder = opts.paths.runtimeDir(pins.folder);
  const path = join(folder, pin.fileName);
  if (await isIntact(path, pin.memberSha512)) return path;
  return flights.run(path, async () => {
    // npm's client takes longer to load than everything else of a boot, and is needed once.
    const { fetchComponent } = await import("./fetch.js");
    return fetchComponent(pin, folder, {
      paths: opts.paths,
      env: envOf(opts),
      ...(opts.onProgress ? { onProgress: opts.onProgress } : {}),
      ...(opts.signal ? { signal: opts.signal } : {}),
      ...(opts.isOffline === undefined ? {} : { isOffline: opts.isOffline }),
    });
  });
}

/** The kernel lies beside our own libkrunfw; one of another place gets a folder named after its path. */
function kernelFolder(library: LibraryInfo, opts: ResolveRuntimeOpts): string {
  const pins = pinsOf(opts);
  if (library.source === "setup" && pins !== undefined) return opts.paths.runtimeDir(pins.folder);
  const digest = createHash("sha256").update(library.path).digest("hex").slice(0, 16);
  return opts.paths.runtimeDir(`external-${digest}`);
}

async function checkNamed(name: ComponentName, path: string): Promise<string> {
  try {
    await access(path, constants.R_OK);
    return path;
  } catch (error) {
    const code = name === "libkrun" ? "MSB_ERR_LIBKRUN_MISSING" : "MSB_ERR_KERNEL_INVALID";
    throw new MsbError(
      code,
      `${LIBRARY_VARIABLES[name]} names ${path}, which cannot be read (${messageOf(error)}). ` +
        "Correct it, or unset it to use the pinned library.",
      { cause: error, details: { path, variable: LIBRARY_VARIABLES[name] } },
    );
  }
}

function platformOf(opts: ResolveRuntimeOpts): string {
  return opts.platform ?? `${process.platform}-${process.arch}`;
}

function pinsOf(opts: ResolveRuntimeOpts): PlatformPins | undefined {
  return (opts.pins ?? PINNED_PLATFORMS)[platformOf(opts)];
}

function envOf(opts: ResolveRuntimeOpts): Readonly<Record<string, string | undefined>> {
  return opts.env ?? process.env;
}

function unsupported(name: ComponentName, opts: ResolveRuntimeOpts): MsbError {
  const platform = platformOf(opts);
  const variables = Object.values(LIBRARY_VARIABLES);
  return new MsbError(
    "MSB_ERR_PLATFORM_UNSUPPORTED",
    `There is no pinned ${name} for ${platform} and the system has none. Build or install libkrun and libkrunfw, ` +
      `then set ${variables.join(" and ")} to the libraries.`,
    { details: { component: name, platform, variables } },
  );
}
