/** What shells are told of the commands: the same definitions as their help, as plain data. */
import type { Command, Option } from "commander";

export interface CompletionNode {
  /** The words that lead to it, without the program's own; empty for the program. */
  readonly path: string;
  readonly commands: readonly Candidate[];
  readonly options: readonly CompletionOption[];
}

export interface Candidate {
  readonly name: string;
  readonly meaning: string;
}

export interface CompletionOption {
  /** `-m`, `--memory`. */
  readonly names: readonly string[];
  readonly meaning: string;
  readonly hasValue: boolean;
  /** What the value may be; empty where that is anything. */
  readonly choices: readonly string[];
}

/** The program first, every command behind its parent; one with an alias is there under both names. */
export function completionNodes(program: Command): CompletionNode[] {
  return nodesBelow(program, "");
}

function nodesBelow(command: Command, path: string): CompletionNode[] {
  const help = command.createHelp();
  const children = help.visibleCommands(command);
  const node = {
    path,
    commands: children.map((child) => ({
      name: child.name(),
      meaning: help.subcommandDescription(child),
    })),
    options: help.visibleOptions(command).map(optionOf),
  };
  const below = children.flatMap((child) =>
    [child.name(), ...child.aliases()].flatMap((name) =>
      nodesBelow(child, path === "" ? name : `${path} ${name}`),
    ),
  );
  return [node, ...below];
}

function optionOf(option: Option): CompletionOption {
  const { short, long } = option;
  return {
    names: [short, long].filter((name) => name !== undefined),
    meaning: option.description,
    hasValue: option.required || option.optional,
    choices: option.argChoices ?? [],
  };
}

/** Every option of every node that takes a value, with the words that `path` and `name` make: `run --pull`. */
export function valueOptions(
  nodes: readonly CompletionNode[],
): readonly { readonly words: readonly string[]; readonly choices: readonly string[] }[] {
  return nodes.flatMap(({ path, options }) =>
    options
      .filter(({ hasValue }) => hasValue)
      .map(({ names, choices }) => ({
        words: names.map((name) => `${path} ${name}`.trim()),
        choices,
      })),
  );
}

/** For a shell, in single quotes. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
