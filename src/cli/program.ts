/** The tree of commands. */
import { bindCommands, CliCommand } from "./command.js";
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

export const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ["MSB_HOME", "where images, disks and settings are kept (~/.msb-ts)"],
  ["MSB_DEBUG=1", "print the stack of an error"],
  ["CI", "when set: plain lines instead of progress bars, no questions"],
  ["TERM=dumb", "plain lines instead of progress bars"],
  ...CLIENT_VARIABLES,
  ...SERVER_VARIABLES,
];

export function buildProgram(ctx: CliContext): CliCommand {
  const program = new CliCommand("msb-ts")
    .description("Run code that you do not trust in real microVMs on your own machine.")
    .version(packageVersion(), "-V, --version", "print the version")
    .example("Fetch an image and make its disk", "msb-ts image pull python:3.12")
    .example("See what is there", "msb-ts image ls")
    .example("Serve sandboxes on 127.0.0.1:5555", "msb-ts server start");
  // What stands behind a command's name is the command's: its own words may have -V among them.
  program.enablePositionalOptions();
  program.addCommand(runCommand(ctx));
  for (const command of SANDBOX_COMMANDS) program.addCommand(command(ctx));
  program.addCommand(imageCommand(ctx));
  program.addCommand(serverCommand(ctx));
  program.addCommand(doctorCommand(ctx));
  program.addCommand(setupCommand(ctx));
  program.addCommand(completionCommand(ctx, program));
  program.addCommand(helpCommand(program));
  program.addHelpText("after", () => `\nEnvironment:\n${environmentText()}`);
  bindCommands(program, ctx);
  return program;
}

function environmentText(): string {
  const width = Math.max(...ENVIRONMENT.map(([name]) => name.length)) + 2;
  return ENVIRONMENT.map(([name, meaning]) => `  ${name.padEnd(width)}${meaning}`).join("\n");
}
