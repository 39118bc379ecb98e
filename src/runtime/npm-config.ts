/** The user's npm settings (registry, proxy, CA, tokens), read as npm reads them, without npm. */
import { dirname, join } from "node:path";
import Config from "@npmcli/config";
import definitions from "@npmcli/config/lib/definitions/index.js";

/** Options for pacote from npmrc files and npm_config_* variables. Changes nothing in `env`. */
export async function loadNpmConfig(
  env: Readonly<Record<string, string | undefined>>,
): Promise<Record<string, unknown>> {
  const config = new Config({
    ...definitions,
    // Only its npmrc, the built-in settings of a distribution's npm, is read.
    npmPath: join(dirname(process.execPath), "..", "lib", "node_modules", "npm"),
    argv: [process.execPath, "msb-ts"],
    // The loader puts npm_config_* into what it is given.
    env: { ...env },
    cwd: process.cwd(),
    warn: false,
  });
  await config.load();
  return config.flat;
}
