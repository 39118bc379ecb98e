/** Completion for zsh, with what each command and option means. */
import { type CompletionNode, quoted, valueOptions } from "./tree.js";

export function zshCompletion(nodes: readonly CompletionNode[]): string {
  const paths = nodes.map(({ path }) => path).filter((path) => path !== "");
  const values = valueOptions(nodes).map(
    ({ words, choices }) =>
      `    ${words.map(quoted).join("|")}) ` +
      `${choices.length === 0 ? "_files" : `compadd -- ${choices.map(quoted).join(" ")}`}; return ;;`,
  );
  const candidates = nodes.map(({ path, commands, options }) => {
    const words = commands.map(({ name, meaning }) => described(name, meaning));
    const names = options.flatMap((option) =>
      option.names.map((name) => described(name, option.meaning)),
    );
    return `    ${quoted(path)})\n      commands=(${words.join(" ")})\n      options=(${names.join(" ")}) ;;`;
  });
  return `#compdef msb-ts
# zsh completion for msb-ts; load it with: source <(msb-ts completion zsh)
_msb_ts() {
  local at="" next word i
  local -a commands options
  for ((i = 2; i < CURRENT; i++)); do
    word="$words[i]"
    # Behind it are the words of another program.
    [[ "$word" == "--" ]] && { _files; return; }
    next="\${at:+$at }$word"
    case "$next" in
      ${paths.map(quoted).join("|")}) at="$next" ;;
    esac
  done
  case "\${at:+$at }$words[CURRENT-1]" in
${values.join("\n")}
  esac
  case "$at" in
${candidates.join("\n")}
  esac
  if [[ "$words[CURRENT]" == -* ]]; then
    _describe -o option options
  elif (( $#commands )); then
    _describe command commands
  else
    _files
  fi
}
if [[ "$funcstack[1]" == "_msb_ts" ]]; then
  _msb_ts "$@"
else
  compdef _msb_ts msb-ts
fi
`;
}

/** A colon is what stands between name and meaning. */
function described(name: string, meaning: string): string {
  return quoted(`${name}:${meaning.replaceAll(":", String.raw`\:`)}`);
}
