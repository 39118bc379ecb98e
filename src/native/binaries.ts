/** Where the executables are that belong to the addon. */
import { accessSync, constants } from "node:fs";
import { join, resolve } from "node:path";
import { messageOf, MsbError } from "../errors.js";
import { HOW_TO_BUILD, nativeFolder } from "./binding.js";
import { nativeFolders } from "./folders.js";

/** Absolute path of msb-vmm, or what MSB_VMM_PATH says. Throws MSB_ERR_ADDON_MISSING. */
export function vmmPath(): string {
  // Beside the addon that was loaded: what one machine has built fits another altogether or not at all.
  return find("msb-vmm", "MSB_VMM_PATH", constants.X_OK, () => [nativeFolder()]);
}

/** Absolute path of msb-agent, or what MSB_AGENT_PATH says. Throws MSB_ERR_ADDON_MISSING. */
export function agentPath(): string {
  // It runs in the guest, so it need not be executable here, and Linux's serves other systems.
  return find("msb-agent", "MSB_AGENT_PATH", constants.R_OK, () => nativeFolders("linux"));
}

function find(
  name: string,
  variable: string,
  mode: number,
  folders: () => readonly string[],
): string {
  const override = process.env[variable];
  const paths =
    override === undefined || override === ""
      ? folders().map((folder) => join(folder, name))
      : [resolve(override)];
  const failures: unknown[] = [];
  for (const path of paths) {
    try {
      accessSync(path, mode);
      return path;
    } catch (error) {
      failures.push(error);
    }
  }
  throw new MsbError(
    "MSB_ERR_ADDON_MISSING",
    `There is no ${name}: ${failures.map(messageOf).join("; ")}. ` +
      `${HOW_TO_BUILD}, or set ${variable} to its path.`,
    { cause: failures[0], details: { paths, variable } },
  );
}
