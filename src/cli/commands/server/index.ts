/** `msb-ts server`: the server of this machine. */
import { CliCommand } from "../../command.js";
import type { CliContext } from "../../context.js";
import { helpCommand } from "../help.js";
import { keygenCommand } from "./keygen.js";
import { logsCommand } from "./logs.js";
import { startCommand } from "./start.js";
import { statusCommand } from "./status.js";
import { stopCommand } from "./stop.js";

const COMMANDS = [startCommand, stopCommand, statusCommand, logsCommand, keygenCommand];

export function serverCommand(ctx: CliContext): CliCommand {
  const group = new CliCommand("server")
    .summary("the server: start, stop, look after")
    .description(
      "The server that runs sandboxes for SDKs and other programs. There is one for each MSB_HOME; it needs no " +
        "root, and it asks for access keys unless it is in development mode.",
    )
    .example("Serve in this terminal, without keys", "msb-ts server start --dev")
    .example("Serve in the background", "msb-ts server start --detach")
    .example("A key for a client", "msb-ts server keygen --expire 30d");
  for (const command of COMMANDS) group.addCommand(command(ctx));
  return group.addCommand(helpCommand(group));
}
