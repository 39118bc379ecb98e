/** `setup`: everything a host needs before its first microVM. */
import { isMsbError } from "../errors.js";
import { findExecutable } from "../util/process.js";
import { findQemu } from "./qemu.js";
import { hasSystemFile } from "./system-libraries.js";
import { fetchPinned, type ResolveRuntimeOpts, type RuntimeComponents } from "./resolve.js";
import { installMissingTools, type SystemTool } from "./system-packages.js";

export interface SetupOpts extends ResolveRuntimeOpts {
  /** Installs missing system tools; without it (the default) they are only named, in `missingTools`. */
  readonly installTools?: boolean;
}

export interface SetupResult extends RuntimeComponents {
  readonly missingTools: readonly SystemTool[];
}

/**
 * Brings the pinned libraries and the guest kernel, and says which system tools are missing.
 * Throws what `resolveRuntime` throws, and MSB_ERR_TOOL_MISSING when `installTools` could not.
 */
export async function setup(opts: SetupOpts): Promise<SetupResult> {
  const components = await fetchPinned(opts);
  let missingTools = await findMissingTools(opts.env);
  if (opts.installTools === true && missingTools.length > 0) {
    await installMissingTools(missingTools, opts.signal ? { signal: opts.signal } : {});
    missingTools = await findMissingTools(opts.env);
  }
  return { ...components, missingTools };
}

/** Tools that this system lacks. */
export async function findMissingTools(env: SetupOpts["env"]): Promise<SystemTool[]> {
  const missing: SystemTool[] = [];
  try {
    await findQemu(env ? { env } : {});
  } catch (error) {
    if (!isMsbError(error, "MSB_ERR_QEMU_MISSING")) throw error;
    missing.push("qemu");
  }
  if ((await findExecutable("mkfs.ext4")) === undefined) missing.push("mkfs.ext4");
  if (!(await hasSystemFile("libcap-ng.so.0"))) missing.push("libcap-ng");
  return missing;
}
