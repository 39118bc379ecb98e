/** Finds the executables that the build makes. */
import { accessSync, constants } from "node:fs";
import { fileURLToPath } from "node:url";
import { MsbError } from "../errors.js";

/** The supervisor of a microVM; MSB_VMM_PATH names another. */
export function vmmPath(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return find("msb-vmm", "MSB_VMM_PATH", env);
}

/** The guest agent, a Linux executable; MSB_AGENT_PATH names another. */
export function agentPath(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return find("msb-agent", "MSB_AGENT_PATH", env);
}

function find(
  name: string,
  variable: string,
  env: Readonly<Record<string, string | undefined>>,
): string {
  const path =
    env[variable] || fileURLToPath(new URL(`../../build/Release/${name}`, import.meta.url));
  try {
    accessSync(path, constants.X_OK);
  } catch (cause) {
    throw new MsbError(
      "MSB_ERR_ADDON_MISSING",
      `${name} is not at ${path}. Run \`npm rebuild msb-ts\`, or set ${variable}.`,
      { cause, details: { path, variable } },
    );
  }
  return path;
}
