/** The tree of commands. */
import { bindCommands, CliCommand } from "./command.js";
import { benchCommand } from "./commands/bench/index.js";
import { completionCommand } from "./commands/completion/index.js";
import { doctorCommand } from "./commands/doctor/index.js";
import { helpCommand } from "./commands/help.js";
import { runCommand } from "./commands/run/index.js";
import { imageCommand } from "./commands/image/index.js";
import { SERVER_VARIABLES } from "./commands/server/start-options.js";
import { SANDBOX_COMMANDS } from "./commands/sandbox/index.js";
import { serverCommand } from "./commands/server/index.js";
import { setupCommand } from "./commands/setup.js";
import { CLIENT_VARIABLES } from "./connect.js";
import type { CliContext } from "./context.js";
import { packageVersion } from "./version.js";

/** Those that not only the server reads. */
const GENERAL_VARIABLES: readonly (readonly [string, string])[] = [
  ["MSB_HOME", "where images, disks and settings are kept (~/.msb-ts)"],
  ["MSB_DEBUG=1", "print the stack of an error"],
  ["CI", "when set: plain lines instead of progress bars, no questions"],
  ["TERM=dumb", "plain lines instead of progress bars"],
  ["MSB_PULL_POLICY", "fetch images when they are missing, always or never (missing)"],
  ...CLIENT_VARIABLES,
];

export const ENVIRONMENT = [...GENERAL_VARIABLES, ...SERVER_VARIABLES];

export function buildProgram(ctx: CliContext): CliCommand {
  const program = new CliCommand("msb-ts")
    .description("Run code that you do not trust in real microVMs on your own machine.")
    .version(packageVersion(), "-V, --version", "print the version")
    .example("Run one command", "msb-ts run python:3.12 -- python3 -c 'print(6 * 7)'")
    .example("Serve sandboxes on 127.0.0.1:5555", "msb-ts server start --detach")
    .example("Make one, and run code in it", "msb-ts create python --name lab && msb-ts code lab");
  // What stands behind a command's name is the command's: its own words may have -V among them.
  program.enablePositionalOptions();
  program.addCommand(runCommand(ctx));
  for (const command of SANDBOX_COMMANDS) program.addCommand(command(ctx));
  program.addCommand(imageCommand(ctx));
  program.addCommand(serverCommand(ctx));
  program.addCommand(doctorCommand(ctx));
  program.addCommand(setupCommand(ctx));
  program.addCommand(benchCommand(ctx));
  program.addCommand(completionCommand(ctx, program));
  program.addCommand(helpCommand(program));
  program.addHelpText("after", () => `\nEnvironment:\n${environmentText(program)}`);
  bindCommands(program, ctx);
  return program;
}

/** Folded as the rest of the help is. */
function environmentText(program: CliCommand): string {
  const help = program.createHelp();
  const { getOutHelpWidth } = program.configureOutput();
  help.prepareContext({
    ...(getOutHelpWidth === undefined ? {} : { helpWidth: getOutHelpWidth() }),
  });
  const width = Math.max(...GENERAL_VARIABLES.map(([name]) => name.length));
  const lines = GENERAL_VARIABLES.map(([name, meaning]) =>
    help.formatItem(name, width, meaning, help),
  );
  return [...lines, "", "The variables of the server: msb-ts server start --help"].join("\n");
}
