/** Where the executables are that were built with the addon. */
import { accessSync, constants } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf, MsbError } from "../errors.js";

/** Absolute path of msb-vmm, or what MSB_VMM_PATH says. Throws MSB_ERR_ADDON_MISSING. */
export function vmmPath(): string {
  return find("msb-vmm", "MSB_VMM_PATH", constants.X_OK);
}

/** Absolute path of msb-agent, or what MSB_AGENT_PATH says. Throws MSB_ERR_ADDON_MISSING. */
export function agentPath(): string {
  // It runs in the guest, so it need not be executable here.
  return find("msb-agent", "MSB_AGENT_PATH", constants.R_OK);
}

function find(name: string, variable: string, mode: number): string {
  const override = process.env[variable];
  const path =
    override === undefined || override === ""
      ? fileURLToPath(new URL(`../../build/Release/${name}`, import.meta.url))
      : resolve(override);
  try {
    accessSync(path, mode);
  } catch (cause) {
    throw new MsbError(
      "MSB_ERR_ADDON_MISSING",
      `${name} is not at ${path}: ${messageOf(cause)}. ` +
        `Build it with \`npm run build:native\`, or set ${variable} to its path.`,
      { cause, details: { path, variable } },
    );
  }
  return path;
}
