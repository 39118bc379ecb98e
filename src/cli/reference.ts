/** The commands as a page of Markdown, made of the same definitions as their help. */
import type { Command } from "commander";
import { ERROR_CODES } from "../errors.js";
import { CliCommand, commandPath } from "./command.js";
import { ENVIRONMENT } from "./program.js";

const STOP_CODES = [
  [129, "stopped by SIGHUP"],
  [130, "stopped by SIGINT (Ctrl-C)"],
  [141, "nobody read on, as with `| head`"],
  [143, "stopped by SIGTERM"],
] as const;

/** The page `docs/cli.md`. */
export function cliReference(program: CliCommand): string {
  return [
    "# msb-ts on the command line",
    "<!-- Written by `npm run docs` from the definitions in src/cli. -->",
    "Results go to standard output, and nothing else does: progress, questions and errors go to standard error. " +
      "In a terminal progress is shown as bars, elsewhere as a few plain lines.",
    "With `--json` a command prints one JSON document. An error is then a line of JSON on standard error, " +
      '`{"error":{"code":…,"message":…,"details":…}}`, and a command that fails has no document unless part of ' +
      'its work succeeded. A warning is a line `{"warning":{"message":…}}` and changes no exit code.',
    "## Environment",
    table(
      ["variable", "meaning"],
      ENVIRONMENT.map(([name, meaning]) => [code(name), meaning]),
    ),
    "## Commands",
    ...sections(program),
    "## Exit codes",
    "What the codes of the errors mean is in the [README](../README.md#troubleshooting).",
    table(["exit code", "meaning"], exitCodes()),
    "",
  ].join("\n\n");
}

/** Of every command that does something. */
function sections(command: CliCommand): string[] {
  const children = command.commands.filter((child) => child instanceof CliCommand);
  if (children.length === 0) return [section(command)];
  // Every group has the same help command; one is enough.
  const isRoot = command.parent === null;
  return children.filter((child) => isRoot || child.name() !== "help").flatMap(sections);
}

function section(command: CliCommand): string {
  const help = command.createHelp();
  const rows = [
    ...command.registeredArguments.map((argument) => [
      code(argument.name()),
      help.argumentDescription(argument),
    ]),
    ...help
      .visibleOptions(command)
      .map((option) => [code(option.flags), help.optionDescription(option)]),
  ];
  const examples = command.examples.map(
    ({ meaning, command: line }) => `${meaning}:\n\n\`\`\`sh\n${line}\n\`\`\``,
  );
  return [
    `### ${commandPath(command)}`,
    code(`${parentPath(command)} ${command.name()} ${command.usage()}`),
    command.description(),
    ...(command.aliases().length === 0
      ? []
      : [`Also called ${command.aliases().map(code).join(", ")}.`]),
    table(["argument or option", "meaning"], rows),
    ...examples,
  ].join("\n\n");
}

function parentPath({ parent }: Command): string {
  return parent === null ? "" : commandPath(parent);
}

function exitCodes(): string[][] {
  const meanings = new Map<number, string[]>([[0, ["done"]]]);
  const add = (exitCode: number, meaning: string): void => {
    meanings.set(exitCode, [...(meanings.get(exitCode) ?? []), meaning]);
  };
  for (const [name, { exitCode }] of Object.entries(ERROR_CODES)) add(exitCode, code(name));
  for (const [exitCode, meaning] of STOP_CODES) add(exitCode, meaning);
  return [...meanings]
    .toSorted(([left], [right]) => left - right)
    .map(([exitCode, texts]) => [`${exitCode}`, texts.join(", ")]);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", String.raw`\|`)).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function code(text: string): string {
  return `\`${text}\``;
}
