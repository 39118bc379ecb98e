/** What the commands of the server have in common. */
import { resolve } from "node:path";
import { Option } from "commander";
import { type MsbPaths, msbPaths } from "../../../paths.js";
import type { ServerProcess } from "../../../server/process/server-process.js";
import type { CliContext } from "../../context.js";
import type { JsonOpts } from "../../command.js";

export interface HomeOpts extends JsonOpts {
  /** Absolute. */
  readonly path?: string;
}

export const pathOption = (): Option =>
  new Option(
    "-p, --path <dir>",
    "where the server keeps everything, in place of MSB_HOME",
  ).argParser((value: string) => resolve(value));

export const KEY_FILE_MEANING =
  "the key that access keys are signed with, in place of the one in MSB_HOME";

export const keyFileOption = (): Option =>
  new Option("--key-file <file>", `${KEY_FILE_MEANING} (MSB_KEY_FILE)`).argParser((value: string) =>
    resolve(value),
  );

export function homePaths(ctx: CliContext, opts: HomeOpts): MsbPaths {
  return msbPaths(opts.path ?? (ctx.env["MSB_HOME"] || undefined));
}

/** For programs: a server as `start`, `status` and `stop` print it. */
export function processView(process: ServerProcess): object {
  const { pid, url, address, isDev, startedAt, version, logFile } = process;
  return { pid, url, address, dev: isDev, startedAt, version, logFile };
}
