/** `msb-ts setup`. */
import { ERROR_CODES, MsbError } from "../../errors.js";
import { msbPaths } from "../../paths.js";
import type { SetupResult } from "../../runtime/setup.js";
import type { findInstaller, installMissingTools } from "../../runtime/system-packages.js";
import { CliCommand, type JsonOpts } from "../command.js";
import { confirm } from "../confirm.js";
import { type CliContext, isInteractive } from "../context.js";
import { QuietExit } from "../exit.js";
import { oneLine } from "../format.js";
import { printJson, printLine } from "../output.js";
import { fetchProgress } from "../progress/fetches.js";
import { withProgress } from "../progress/with-progress.js";

export interface SetupCommandOpts extends JsonOpts {
  readonly yes?: true;
}

/** What setup does to this machine; tests give it another one. */
export interface SetupTools {
  readonly setup: (ctx: CliContext, opts: JsonOpts) => Promise<SetupResult>;
  readonly findMissing: (ctx: CliContext) => Promise<SetupResult["missingTools"]>;
  readonly findInstaller: typeof findInstaller;
  readonly install: typeof installMissingTools;
  readonly commandFor: (tools: SetupResult["missingTools"]) => string;
}

export function setupCommand(ctx: CliContext): CliCommand {
  return new CliCommand("setup")
    .summary("fetch what microVMs need, and install missing system packages")
    .description(
      "Fetch libkrun and the guest kernel, pinned by their digests, and install the system packages that are missing: " +
        "with apt-get, as root or by sudo, or with brew on macOS. It asks before it installs; where there is nobody to " +
        "ask, root installs and everybody else is told the command. Running it again does no harm.",
    )
    .option("-y, --yes", "do not ask before packages are installed")
    .jsonOption()
    .example("Before the first microVM", "msb-ts setup")
    .example("In a script", "msb-ts setup --yes --json")
    .action(async (opts: SetupCommandOpts) => runSetup(ctx, opts, await realTools()));
}

async function realTools(): Promise<SetupTools> {
  const { setup, findMissingTools } = await import("../../runtime/setup.js");
  const packages = await import("../../runtime/system-packages.js");
  return {
    setup: (ctx, opts) =>
      withProgress(ctx, opts, (onProgress) =>
        setup({
          paths: msbPaths(ctx.env["MSB_HOME"] || undefined),
          env: ctx.env,
          signal: ctx.signal,
          onProgress: fetchProgress(onProgress),
        }),
      ),
    findMissing: ({ env }) => findMissingTools(env),
    findInstaller: packages.findInstaller,
    install: packages.installMissingTools,
    commandFor: packages.installCommand,
  };
}

/** Fails with MSB_ERR_TOOL_MISSING's exit code when packages are still missing at the end. */
export async function runSetup(
  ctx: CliContext,
  opts: SetupCommandOpts,
  tools: SetupTools,
): Promise<void> {
  const found = await tools.setup(ctx, opts);
  const missing = await installed(ctx, opts, tools, found.missingTools);
  const { libkrun, kernel } = found;
  if (opts.json) {
    printJson(ctx, {
      libkrun: "path" in libkrun ? libkrun : { missing: libkrun.missing.message },
      kernel: { path: kernel.path, version: kernel.version, source: kernel.source },
      missing,
      command: missing.length === 0 ? null : tools.commandFor(missing),
    });
  } else {
    const library = "path" in libkrun ? libkrun.path : `none. ${libkrun.missing.message}`;
    printLine(ctx, `libkrun: ${oneLine(library)}`);
    printLine(ctx, `Guest kernel: ${oneLine(kernel.version)}, ${oneLine(kernel.path)}`);
    if (missing.length === 0) printLine(ctx, "System packages: all there");
    else {
      printLine(ctx, `System packages: missing for ${missing.join(", ")}`);
      printLine(ctx, `Run: ${tools.commandFor(missing)}`);
    }
  }
  if (missing.length > 0) throw new QuietExit(ERROR_CODES.MSB_ERR_TOOL_MISSING.exitCode);
}

/** What is missing then. */
async function installed(
  ctx: CliContext,
  opts: SetupCommandOpts,
  tools: SetupTools,
  missing: SetupResult["missingTools"],
): Promise<SetupResult["missingTools"]> {
  if (missing.length === 0) return missing;
  const installer = await tools.findInstaller();
  if (installer === undefined) return missing;
  const command = tools.commandFor(missing);
  const isWanted =
    opts.yes === true ||
    ((await confirm(ctx, `Missing: ${missing.join(", ")}. Run ${command}?`)) ??
      installer === "root");
  if (!isWanted) return missing;
  ctx.stderr.write(`Installing: ${missing.join(", ")}\n`);
  await tools.install(missing, { signal: ctx.signal, mayAskPassword: isInteractive(ctx) });
  const left = await tools.findMissing(ctx);
  if (left.length < missing.length || left.length === 0) return left;
  throw new MsbError(
    "MSB_ERR_TOOL_MISSING",
    `The packages were installed, and still ${left.join(", ")} cannot be found. Run: ${command}`,
    { details: { tools: left, command } },
  );
}
