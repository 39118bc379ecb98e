/** Completion for bash, also the one of macOS (3.2). */
import { type CompletionNode, quoted, valueOptions } from "./tree.js";

export function bashCompletion(nodes: readonly CompletionNode[]): string {
  const paths = nodes.map(({ path }) => path).filter((path) => path !== "");
  const values = valueOptions(nodes).map(
    ({ words, choices }) =>
      `    ${words.map(quoted).join("|")}) ${choices.length === 0 ? "return" : `${reply(choices)}; return`} ;;`,
  );
  const candidates = nodes.map(({ path, commands, options }) => {
    const names = options.flatMap((option) => option.names);
    const words = commands.map(({ name }) => name);
    return `    ${quoted(path)}) commands=${quoted(words.join(" "))}; options=${quoted(names.join(" "))} ;;`;
  });
  return `# bash completion for msb-ts; load it with: source <(msb-ts completion bash)
_msb_ts() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}"
  local at="" next word commands options i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    # Behind it are the words of another program.
    [ "$word" = "--" ] && return
    next="\${at:+$at }$word"
    case "$next" in
      ${paths.map(quoted).join("|")}) at="$next" ;;
    esac
  done
  case "\${at:+$at }$prev" in
${values.join("\n")}
  esac
  case "$at" in
${candidates.join("\n")}
  esac
  case "$cur" in
    -*) COMPREPLY=($(compgen -W "$options" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "$commands" -- "$cur")) ;;
  esac
}
complete -o default -F _msb_ts msb-ts
`;
}

function reply(words: readonly string[]): string {
  return `COMPREPLY=($(compgen -W ${quoted(words.join(" "))} -- "$cur"))`;
}
