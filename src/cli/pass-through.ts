/** Commands that end with a command for somebody else: its options are not ours. */
import { CliCommand } from "./command.js";

/** `exec NAME ls -l` is `exec NAME -- ls -l`: options of ours come before the second operand. */
export class PassThroughCommand extends CliCommand {
  /** How many operands are ours. */
  readonly #ownOperands: number;

  constructor(name: string, ownOperands: number) {
    super(name);
    this.#ownOperands = ownOperands;
  }

  override parseOptions(words: string[]): ReturnType<CliCommand["parseOptions"]> {
    return super.parseOptions(this.#withSeparator(words));
  }

  #withSeparator(words: readonly string[]): string[] {
    let operands = 0;
    for (let at = 0; at < words.length; at++) {
      const word = words[at]!;
      if (word === "--") break;
      if (word.startsWith("-") && word !== "-") at += this.#takesNext(word) ? 1 : 0;
      else if (operands++ === this.#ownOperands) {
        return [...words.slice(0, at), "--", ...words.slice(at)];
      }
    }
    return [...words];
  }

  /** Is the value of this option, or of the last of these short ones, the word behind it? */
  #takesNext(word: string): boolean {
    if (word.startsWith("--")) {
      return this.options.some(({ long, required }) => long === word && required);
    }
    const letters = [...word.slice(1)];
    const at = letters.findIndex((letter) =>
      this.options.some(({ short, required }) => short === `-${letter}` && required),
    );
    return at !== -1 && at === letters.length - 1;
  }
}
