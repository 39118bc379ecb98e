/** `msb-ts run`. */
import { Option } from "commander";
import { HYPERVISOR_CHOICES, PULL_POLICIES } from "../../../config.js";
import { type CliCommand, UsageError } from "../../command.js";
import type { CliContext } from "../../context.js";
import { QuietExit } from "../../exit.js";
import { PassThroughCommand } from "../../pass-through.js";
import { duration, envCollector, mebibytes, wholeNumber } from "../../values.js";
import { quietOption } from "../image/options.js";
import { runFailure } from "./failure.js";
import type { RunOpts } from "./options.js";
import { runToEnd } from "./run-to-end.js";

export function runCommand(ctx: CliContext): CliCommand {
  const command = new PassThroughCommand("run", 1);
  command
    .summary("run one command in a microVM of its own")
    .description(
      "Run one command in a microVM that is there for it alone: the image is fetched if it is missing, and when the " +
        "command has ended the microVM and its disk are gone. No server is needed. The exit code is the command's, " +
        "128 and the number of the signal that ended it, 124 after --timeout, 126 or 127 if it cannot be run, 125 if " +
        "it did not come to that. Ctrl-C is passed on to the command, a second one ends the microVM.",
    )
    .usage("[options] <image> [--] [command...]")
    .argument("<image>", "as image pull takes it, or what image ls shows")
    .argument("[command...]", "after the image's entrypoint, in place of its command")
    .option("-m, --memory <size>", "in MiB, or with a unit: 512m, 2g (1024)", mebibytes)
    .option("--cpus <n>", "virtual CPUs (1)", wholeNumber)
    .option("--disk <size>", "what it can write, in MiB or with a unit (4g)", mebibytes)
    .option(
      "-e, --env <name=value>",
      "a variable; NAME alone has the value that it has here; may be repeated",
      envCollector(ctx.env),
    )
    .option("-w, --workdir <dir>", "the folder it runs in")
    .option("-u, --user <user>", "user or user:group, by name or number")
    .option("--entrypoint <program>", 'in place of the image\'s; "" for none')
    .option(
      "--timeout <time>",
      "kill it after so long: 90s, 10m; a number alone is seconds",
      duration,
    )
    .option("-i, --interactive", "pass standard input on")
    .option("-t, --tty", "give it a terminal")
    .addOption(
      new Option("--hypervisor <name>", "what runs the microVM (MSB_HYPERVISOR, auto)").choices(
        HYPERVISOR_CHOICES,
      ),
    )
    .addOption(
      new Option(
        "--pull <when>",
        "when the image is fetched from its registry (MSB_PULL_POLICY, missing)",
      ).choices(PULL_POLICIES),
    )
    .option("--stages", "tell on standard error how long each stage took")
    .addOption(quietOption("no progress"))
    .jsonOption()
    .example("One command", "msb-ts run python:3.12 -- python3 -c 'print(6 * 7)'")
    .example("A shell", "msb-ts run -it debian:12 -- bash")
    .example("In a pipe", "gzip -dc data.gz | msb-ts run -i alpine -- sha256sum")
    .example("With limits", "msb-ts run -m 512m --cpus 2 --timeout 30s alpine -- sh -c 'nproc'")
    .action((image: string, words: string[], opts: RunOpts) =>
      run(ctx, command, { image, words, opts }),
    );
  return command;
}

interface Asked {
  readonly image: string;
  readonly words: readonly string[];
  readonly opts: RunOpts;
}

async function run(ctx: CliContext, command: CliCommand, asked: Asked): Promise<void> {
  const { opts } = asked;
  if (opts.json && opts.tty) {
    throw new UsageError(
      command,
      "--json and --tty do not go together: a terminal is no place for a document.",
    );
  }
  let exitCode: number;
  try {
    exitCode = await runToEnd(ctx, asked.image, asked.words, opts);
  } catch (error) {
    throw runFailure(ctx, error, opts);
  }
  throw new QuietExit(exitCode);
}
