/** Completion for fish, with what each command and option means. */
import type { CompletionNode, CompletionOption } from "./tree.js";

export function fishCompletion(nodes: readonly CompletionNode[]): string {
  const paths = nodes.map(({ path }) => path).filter((path) => path !== "");
  const lines = nodes.flatMap(({ path, commands, options }) => {
    const condition = `-n ${fishQuoted(`__msb_ts_is_at ${fishQuoted(path)}`)}`;
    return [
      ...commands.map(
        ({ name, meaning }) =>
          `complete -c msb-ts ${condition} -f -a ${fishQuoted(name)} -d ${fishQuoted(meaning)}`,
      ),
      ...options.map((option) => `complete -c msb-ts ${condition} ${optionWords(option)}`),
    ];
  });
  return `# fish completion for msb-ts; load it with: msb-ts completion fish | source
function __msb_ts_is_at
  set -l paths ${paths.map(fishQuoted).join(" ")}
  set -l at ''
  set -l words (commandline -opc)
  for word in $words[2..-1]
    # Behind it are the words of another program.
    test "$word" = '--'; and return 1
    set -l next (string trim -- "$at $word")
    contains -- "$next" $paths; and set at "$next"
  end
  test "$at" = "$argv[1]"
end
${lines.join("\n")}
`;
}

function optionWords({ names, meaning, hasValue, choices }: CompletionOption): string {
  const flags = names.map((name) =>
    name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
  );
  const value = hasValue ? ["-r"] : [];
  const words = choices.length === 0 ? [] : ["-f", `-a ${fishQuoted(choices.join(" "))}`];
  return [...flags, ...value, ...words, `-d ${fishQuoted(meaning)}`].join(" ");
}

/** In fish a backslash escapes within single quotes, too. */
function fishQuoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
}
