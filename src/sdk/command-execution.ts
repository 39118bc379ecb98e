/** What `command.run` gives. */
import { joinBytes, utf8Decoder } from "./bytes.js";
import { plainText } from "./execution.js";

/** `exited`: by itself. `killed`: by a signal. `outOfMemory`: by its guest's kernel. */
export type CommandEnd = "exited" | "killed" | "outOfMemory";

export interface CommandFacts {
  readonly command: string;
  readonly args: readonly string[];
  readonly reason: CommandEnd;
  readonly exitCode: number | null;
  readonly signal: number | null;
  readonly durationMs: number;
  readonly stdout: readonly Uint8Array[];
  readonly stderr: readonly Uint8Array[];
}

/** The result of a command that ran to its end. An exit code other than 0 is a result, too: see `success`. */
export class CommandExecution {
  readonly command: string;
  readonly args: readonly string[];
  /** As a shell says it: 128 and the signal's number for a command that a signal ended. */
  readonly exitCode: number;
  /** The number of the signal that ended it; null when none did. */
  readonly signal: number | null;
  readonly reason: CommandEnd;
  /** Milliseconds from its start to its end. */
  readonly durationMs: number;
  readonly #stdout: Uint8Array;
  readonly #stderr: Uint8Array;

  constructor(facts: CommandFacts) {
    this.command = facts.command;
    this.args = facts.args;
    this.exitCode = facts.exitCode ?? 128 + (facts.signal ?? 0);
    this.signal = facts.signal;
    this.reason = facts.reason;
    this.durationMs = facts.durationMs;
    this.#stdout = joinBytes(facts.stdout);
    this.#stderr = joinBytes(facts.stderr);
  }

  /** True when the exit code is 0. */
  get success(): boolean {
    return this.exitCode === 0;
  }

  /** Standard output as text, without white space at its end. What is not UTF-8 becomes U+FFFD. */
  async output(): Promise<string> {
    return plainText(utf8Decoder().decode(this.#stdout));
  }

  /** Standard error as text, without white space at its end. */
  async error(): Promise<string> {
    return plainText(utf8Decoder().decode(this.#stderr));
  }

  /** Standard output as it came, to the last byte. */
  async bytes(): Promise<Uint8Array> {
    return this.#stdout.slice();
  }
}
