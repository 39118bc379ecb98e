/** `msb-ts exec`. */
import type { CommandBody } from "../../../api/commands.js";
import type { SandboxParams } from "../../../api/sandboxes.js";
import type { MsbClient } from "../../../sdk/client.js";
import type { CliCommand } from "../../command.js";
import { endNote, exitCodeOf, failureExitCode } from "../../command-exit.js";
import { connect, type ServerUrlOpts, serverUrlOption } from "../../connect.js";
import type { CliContext } from "../../context.js";
import { reportErrors } from "../../error-report.js";
import { QuietExit } from "../../exit.js";
import { PassThroughCommand } from "../../pass-through.js";
import { parseSandboxName } from "../../sandbox-names.js";
import { readStdin } from "../../stdin.js";
import { duration, envCollector } from "../../values.js";
import { given } from "../image/options.js";
import { collectCommand, streamCommand } from "./command-output.js";
import { printJson } from "../../output.js";

interface ExecOpts extends ServerUrlOpts {
  readonly env?: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  /** Milliseconds. */
  readonly timeout?: number;
  readonly interactive?: true;
}

/** What a request has besides its input. */
const REQUEST_BYTES = 256 * 1024;

export function execCommand(ctx: CliContext): CliCommand {
  return new PassThroughCommand("exec", 1)
    .summary("run a command in a sandbox")
    .description(
      "Run a command in a sandbox that runs. Its output is passed on as it comes, and its exit code is that of " +
        "msb-ts: 128 and the number for a signal, 124 after --timeout, 126 and 127 for what cannot be run and what is " +
        "not there, 125 when it did not come to that. Ctrl-C kills it. There is no shell around it and no terminal. " +
        "Options of msb-ts come before the command.",
    )
    .argument("<name>", "name or namespace/name")
    .argument("<command>", "a program in the sandbox")
    .argument("[arg...]", "its arguments")
    .option(
      "-e, --env <name=value>",
      "a variable; NAME alone takes its value from here; may be repeated",
      envCollector(ctx.env),
    )
    .option("-w, --workdir <dir>", "where it starts (the sandbox's)")
    .option("-u, --user <user>", "whom it runs as (the sandbox's)")
    .option("--timeout <duration>", "kill it after so long: 30s, 10m", duration)
    .option("-i, --interactive", "read standard input to its end, then run the command with it")
    .addOption(serverUrlOption())
    .jsonOption()
    .example("A command", "msb-ts exec lab -- ls -la /tmp")
    .example("With a shell", "msb-ts exec lab -- sh -c 'echo $HOME | wc -c'")
    .example("With input", "msb-ts exec -i lab -- tar x -C /srv < files.tar")
    .action((name: string, command: string, args: string[], opts: ExecOpts) =>
      exec(ctx, name, [command, ...args], opts),
    );
}

async function exec(
  ctx: CliContext,
  name: string,
  argv: readonly [string, ...string[]],
  opts: ExecOpts,
): Promise<void> {
  const key = parseSandboxName(name);
  const exitCode = await run(ctx, key, argv, opts).catch((error: unknown) => {
    // It is told with the code of what stopped it.
    if (ctx.signal.aborted) throw error;
    reportErrors(ctx, [error], { json: opts.json === true });
    return failureExitCode(error);
  });
  if (exitCode !== 0) throw new QuietExit(exitCode);
}

async function run(
  ctx: CliContext,
  key: SandboxParams,
  [command, ...args]: readonly [string, ...string[]],
  opts: ExecOpts,
): Promise<number> {
  const client = await connect(ctx, opts);
  const body: CommandBody = {
    command,
    args,
    encoding: "base64",
    ...given({
      env: opts.env === undefined ? undefined : [...opts.env],
      workdir: opts.workdir,
      user: opts.user,
      timeoutMs: opts.timeout,
      stdin: opts.interactive ? await encodedInput(ctx, client) : undefined,
    }),
  };
  const records = client.runCommand(key, body, { signal: ctx.signal });
  if (opts.json) {
    const { end, ...output } = await collectCommand(records);
    const { type: _type, ...facts } = end;
    printJson(ctx, { ...facts, ...output });
    return exitCodeOf(end);
  }
  const end = await streamCommand(ctx, records);
  const note = endNote(end);
  if (note !== null) ctx.stderr.write(`msb-ts: ${note}\n`);
  return exitCodeOf(end);
}

/** As Base64, which takes four bytes for three. */
async function encodedInput(ctx: CliContext, client: MsbClient): Promise<string> {
  const { limits } = await client.info({ signal: ctx.signal });
  const maxBytes = Math.max(0, Math.floor(((limits.maxBodyBytes - REQUEST_BYTES) * 3) / 4));
  const input = await readStdin(
    ctx,
    maxBytes,
    "Start the server with a larger --max-body-mib, or let the command fetch its input itself.",
  );
  return input.toString("base64");
}
