/** `msb-ts help [command...]`: the library's own help command knows one word only, and takes any. */
import { CliCommand, UsageError } from "../command.js";
import { oneLine } from "../format.js";

/** Shows the help of `group` or of what the words name below it. */
export function helpCommand(group: CliCommand): CliCommand {
  return new CliCommand("help")
    .summary("show the help of a command")
    .description("Show the help of a command.")
    .argument("[command...]", "the words that call it")
    .example("Of a command", "msb-ts help image pull")
    .action((words: string[]) => {
      let command = group;
      for (const word of words) command = childOf(command, word);
      command.outputHelp();
    });
}

function childOf(group: CliCommand, word: string): CliCommand {
  const child = group.commands.find(
    (command) => command.name() === word || command.aliases().includes(word),
  );
  if (child instanceof CliCommand) return child;
  throw new UsageError(group, `Unknown command '${oneLine(word, 100)}'.`);
}
