/** `msb-ts image`: the images of this machine. */
import { CliCommand } from "../../command.js";
import type { CliContext } from "../../context.js";
import { helpCommand } from "../help.js";
import { buildCommand } from "./build.js";
import { inspectCommand } from "./inspect.js";
import { loadCommand } from "./load.js";
import { lsCommand } from "./ls.js";
import { pruneCommand } from "./prune.js";
import { pullCommand } from "./pull.js";
import { rmCommand } from "./rm.js";
import { saveCommand } from "./save.js";
import { tagCommand } from "./tag.js";
import { warmCommand } from "./warm.js";

const COMMANDS = [
  pullCommand,
  lsCommand,
  inspectCommand,
  rmCommand,
  pruneCommand,
  loadCommand,
  saveCommand,
  tagCommand,
  buildCommand,
  warmCommand,
];

export function imageCommand(ctx: CliContext): CliCommand {
  const group = new CliCommand("image")
    .summary("images: fetch, list, build, warm, remove")
    .description(
      "The images of this machine. An image comes from a registry, an archive or a recipe, and becomes one " +
        "read-only disk that any number of microVMs share.",
    )
    .example("Fetch an image and make its disk", "msb-ts image pull python:3.12")
    .example("See what is there", "msb-ts image ls")
    .example("Remove what nobody needs", "msb-ts image prune");
  for (const command of COMMANDS) group.addCommand(command(ctx));
  return group.addCommand(helpCommand(group));
}
