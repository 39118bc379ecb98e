/** The library's command with what ours have besides: examples, and errors that know their command. */
import { Command, type CommanderError } from "commander";
import { MsbError } from "../errors.js";
import { oneLine } from "./format.js";
import type { CliContext } from "./context.js";

export interface Example {
  readonly meaning: string;
  readonly command: string;
}

/** `--json` is an option of every command that does something. */
export interface JsonOpts {
  readonly json?: true;
}

/** The words were wrong, not the work: reported with where to read more. */
export class UsageError extends MsbError {
  readonly help: string;

  constructor(command: Command, message: string) {
    const help = `${commandPath(command)} --help`;
    super("MSB_ERR_INVALID_ARGUMENT", message, { details: { help } });
    this.help = help;
  }
}

export class CliCommand extends Command {
  readonly examples: Example[] = [];

  constructor(name?: string) {
    super(name);
    this.helpOption("-h, --help", "show this help");
    this.helpCommand(false);
    this.configureHelp({ subcommandTerm: (command) => termOf(command) });
    this.addHelpText("after", () => this.#exampleText());
  }

  override createCommand(name?: string): CliCommand {
    return new CliCommand(name);
  }

  example(meaning: string, command: string): this {
    this.examples.push({ meaning, command });
    return this;
  }

  jsonOption(): this {
    return this.option("--json", "print one JSON document");
  }

  #exampleText(): string {
    if (this.examples.length === 0) return "";
    const entries = this.examples.map(({ meaning, command }) => `  ${meaning}:\n    $ ${command}`);
    return `\nExamples:\n${entries.join("\n")}`;
  }
}

/** The words that call `command`: `msb-ts image pull`. */
export function commandPath(command: Command): string {
  const words: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) words.unshift(at.name());
  return words.join(" ");
}

/** How a list of commands names one. */
function termOf(command: Command): string {
  const words = command.registeredArguments.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
    return argument.required ? `<${name}>` : `[${name}]`;
  });
  return [command.name(), ...words].join(" ");
}

/** Binds a whole tree of commands to `ctx`: where it writes, and that errors are thrown. */
export function bindCommands(command: Command, ctx: CliContext): void {
  command.configureOutput({
    writeOut: (text) => void ctx.stdout.write(text),
    writeErr: (text) => void ctx.stderr.write(text),
    outputError: () => {},
    getOutHelpWidth: () => ctx.stdout.columns ?? 100,
    getErrHelpWidth: () => ctx.stderr.columns ?? 100,
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  });
  command.exitOverride((error) => {
    throw usageErrorOf(error, command) ?? error;
  });
  for (const child of command.commands) bindCommands(child, ctx);
}

/** undefined for what is no error: help and version. */
function usageErrorOf(error: CommanderError, command: Command): UsageError | undefined {
  if (error.exitCode === 0) return undefined;
  // The library has shown the help: a group was called without one of its commands.
  if (error.code === "commander.help") return new UsageError(command, "A command is missing.");
  const text = oneLine(error.message).replace(/^error: /, "");
  const [what = "", suggested] = text.split(/\.? \(Did you mean (.*)\?\)$/);
  const suggestion =
    (error.code === "commander.unknownCommand" ? namesakeOf(command) : undefined) ?? suggested;
  const sentence = `${what.charAt(0).toUpperCase()}${what.slice(1)}`.replace(/\.?$/, ".");
  const hint = suggestion === undefined ? "" : ` Did you mean ${suggestion}?`;
  return new UsageError(command, `${sentence}${hint}`);
}

/** `msb-ts pull` is what `msb-ts image pull` is to fingers that know Docker. */
function namesakeOf(command: Command): string | undefined {
  const name = command.args[0] ?? "";
  if (name === "version" && command.parent === null) return `${command.name()} --version`;
  const found = command.commands
    .flatMap((group) => group.commands)
    .find((child) => child.name() === name || child.aliases().includes(name));
  return found === undefined ? undefined : commandPath(found);
}
