/** `msb-ts create`. */
import type { CreateSandboxBody } from "../../../api/sandboxes.js";
import { CliCommand } from "../../command.js";
import { connect, type ServerUrlOpts, serverUrlOption } from "../../connect.js";
import type { CliContext } from "../../context.js";
import { printJson, printLine } from "../../output.js";
import { withProgress } from "../../progress/with-progress.js";
import { sandboxName, splitSandboxName } from "../../sandbox-names.js";
import { collectLabel, duration, envCollector, mebibytes, wholeNumber } from "../../values.js";
import { given } from "../image/options.js";

interface CreateOpts extends ServerUrlOpts {
  readonly name?: string;
  /** MiB, as is `disk`. */
  readonly memory?: number;
  readonly cpus?: number;
  readonly disk?: number;
  readonly env?: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly label?: Readonly<Record<string, string>>;
  /** Milliseconds, as is `maxLifetime`. */
  readonly idleTimeout?: number;
  readonly maxLifetime?: number;
}

export function createCommand(ctx: CliContext): CliCommand {
  return new CliCommand("create")
    .summary("make a sandbox and start it")
    .description(
      "Make a sandbox and start it; its name is printed when it is ready. An image that is not here is fetched. The " +
        "sandbox keeps its disk when it is stopped, until msb-ts rm.",
    )
    .argument("<image>", "an image, as in msb-ts image pull")
    .option("--name <name>", "name or namespace/name (sandbox- and eight digits)")
    .option("-m, --memory <size>", "in MiB, or with a unit: 512m, 2g (1024)", mebibytes)
    .option("--cpus <count>", "virtual CPUs (1)", wholeNumber)
    .option("--disk <size>", "of its private disk: 512m, 10g (4096)", mebibytes)
    .option(
      "-e, --env <name=value>",
      "a variable; NAME alone takes its value from here; may be repeated",
      envCollector(ctx.env),
    )
    .option("-w, --workdir <dir>", "where commands and code start (the image's)")
    .option("-u, --user <user>", "whom commands and code run as (the image's)")
    .option("--label <name=value>", "for msb-ts ps --filter; may be repeated", collectLabel)
    .option("--idle-timeout <duration>", "stop it when nobody used it for so long: 10m", duration)
    .option("--max-lifetime <duration>", "stop it so long after its start: 1h", duration)
    .addOption(serverUrlOption())
    .jsonOption()
    .example("A sandbox with Python", "msb-ts create python --name lab")
    .example(
      "Small, and gone when it is forgotten",
      "msb-ts create alpine -m 128m --idle-timeout 10m",
    )
    .example("In a script", 'name="$(msb-ts create python -e STAGE=test --label job=42)"')
    .action((image: string, opts: CreateOpts) => create(ctx, image, opts));
}

async function create(ctx: CliContext, image: string, opts: CreateOpts): Promise<void> {
  const body: CreateSandboxBody = {
    image,
    ...(opts.name === undefined ? {} : splitSandboxName(opts.name)),
    ...given({
      memoryMiB: opts.memory,
      cpus: opts.cpus,
      diskMiB: opts.disk,
      env: opts.env === undefined ? undefined : [...opts.env],
      workdir: opts.workdir,
      user: opts.user,
      labels: opts.label === undefined ? undefined : { ...opts.label },
      idleTimeoutMs: opts.idleTimeout,
      maxLifetimeMs: opts.maxLifetime,
    }),
  };
  const client = await connect(ctx, opts);
  const sandbox = await withProgress(ctx, opts, (onProgress) =>
    client.createSandbox(body, { onProgress, signal: ctx.signal }),
  );
  if (opts.json) printJson(ctx, sandbox);
  else printLine(ctx, sandboxName(sandbox));
}
