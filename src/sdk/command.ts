/** Programs of a sandbox: run to their end, or event by event. */
import type { CommandBody } from "../api/commands.js";
import { fromBase64, toBase64, utf8Decoder } from "./bytes.js";
import type { CommandRecordView } from "./client.js";
import { CommandExecution } from "./command-execution.js";
import { CommandOutput } from "./command-output.js";
import { sdkError } from "./errors.js";
import { envEntries, given, timeoutMs } from "./options.js";
import type { Session } from "./session.js";

export interface CommandStreamOpts {
  /** Seconds it may run; then it is killed, with all that it started. Default: no limit. */
  readonly timeout?: number | undefined;
  /** Calls it off, which kills the program: MSB_ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
  /** Variables on top of the sandbox's own. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Default: the sandbox's. */
  readonly workdir?: string | undefined;
  /** Whom it runs as. Default: the sandbox's. */
  readonly user?: string | undefined;
  /** What it reads from its input. Default: nothing, it finds the end at once. */
  readonly stdin?: string | Uint8Array | undefined;
}

export interface CommandOpts extends CommandStreamOpts {
  /** A piece of output as it comes, not a line. What is not UTF-8 becomes U+FFFD. */
  readonly onStdout?: ((text: string) => void) | undefined;
  readonly onStderr?: ((text: string) => void) | undefined;
  /** Both streams together; more fails with MSB_ERR_OUTPUT_LIMIT and kills the program. Default 32 MiB. */
  readonly maxOutputBytes?: number | undefined;
}

/** In order of arrival; `end` comes last, once. */
export type CommandEvent =
  | {
      readonly type: "stdout" | "stderr";
      /** A piece, not a line. Characters are whole; what is not UTF-8 becomes U+FFFD. */
      readonly text: string;
      readonly bytes: Uint8Array;
    }
  | {
      readonly type: "end";
      readonly reason: "exited" | "killed" | "timeout" | "outOfMemory";
      /** null when a signal ended it. */
      readonly exitCode: number | null;
      readonly signal: number | null;
      readonly durationMs: number;
    };

const DEFAULT_MAX_OUTPUT_BYTES = 32 * 1024 ** 2;

/** Runs programs in the sandbox. There is no shell around them: `run("sh", ["-c", "…"])` for one. */
export class Command {
  readonly #session: Session;

  /** Use `sandbox.command`. */
  constructor(session: Session) {
    this.#session = session;
  }

  /**
   * Runs a program to its end. Throws MSB_ERR_EXEC_FAILED when it cannot be started, and MSB_ERR_EXEC_TIMEOUT, with
   * what it had written in the error's details (`stdout`, `stderr`), when it took longer than `timeout`.
   */
  async run(
    command: string,
    args: readonly string[] = [],
    { onStdout, onStderr, maxOutputBytes, ...opts }: CommandOpts = {},
  ): Promise<CommandExecution> {
    const output = new CommandOutput(command, maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES);
    let end: Extract<CommandEvent, { type: "end" }> | undefined;
    for await (const event of this.stream(command, args, opts)) {
      if (event.type === "end") {
        end = event;
        continue;
      }
      output.push(event.type, event.bytes);
      if (event.text !== "") (event.type === "stdout" ? onStdout : onStderr)?.(event.text);
    }
    // The stream ends with it, or throws.
    const { reason, ...facts } = end!;
    const { stdout, stderr } = output;
    if (reason === "timeout") throw timedOut({ command, args, timeout: opts.timeout, output });
    return new CommandExecution({ ...facts, reason, command, args: [...args], stdout, stderr });
  }

  /**
   * Runs a program and gives its output as it comes, as fast as it is read; it may write as much as it likes. A
   * timeout is an event here: `end` with the reason `timeout`. A reader that stops early kills the program.
   */
  async *stream(
    command: string,
    args: readonly string[] = [],
    opts: CommandStreamOpts = {},
  ): AsyncGenerator<CommandEvent, void> {
    this.#session.requireStarted();
    const { client, key } = this.#session;
    const body = commandBody(command, args, opts);
    const decoders = { stdout: utf8Decoder(), stderr: utf8Decoder() };
    for await (const record of client.runCommand(key, body, { signal: opts.signal })) {
      if (record.type === "end") {
        yield* cutCharacters(decoders);
        yield record;
      } else if (isOutput(record)) {
        const bytes = fromBase64(record.base64);
        const text = decoders[record.type].decode(bytes, { stream: true });
        yield { type: record.type, text, bytes };
      }
    }
  }
}

function commandBody(
  command: string,
  args: readonly string[],
  { timeout, env, workdir, user, stdin }: CommandStreamOpts,
): CommandBody {
  const input = typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin;
  return given({
    command,
    args: [...args],
    timeoutMs: timeoutMs("timeout", timeout),
    env: env && envEntries(env),
    workdir,
    user,
    stdin: input && toBase64(input),
    // Output need not be text, and characters may come in two pieces.
    encoding: "base64" as const,
  });
}

type OutputRecord = Extract<CommandRecordView, { base64: string }>;

/** What a later server may tell besides is not for this client. */
function isOutput(record: CommandRecordView): record is OutputRecord {
  return (record.type === "stdout" || record.type === "stderr") && "base64" in record;
}

/** Of characters that the program never finished. */
function* cutCharacters(
  decoders: Readonly<Record<"stdout" | "stderr", { decode(): string }>>,
): Generator<CommandEvent> {
  for (const type of ["stdout", "stderr"] as const) {
    const text = decoders[type].decode();
    if (text !== "") yield { type, text, bytes: new Uint8Array() };
  }
}

function timedOut(facts: {
  readonly command: string;
  readonly args: readonly string[];
  readonly timeout: number | undefined;
  readonly output: CommandOutput;
}): Error {
  const { command, args, timeout, output } = facts;
  return sdkError(
    "MSB_ERR_EXEC_TIMEOUT",
    `${command} took longer than ${timeout} s and was killed, with all that it started. ` +
      "Give it more with timeout.",
    { details: { command, args, timeoutMs: timeoutMs("timeout", timeout), ...output.text() } },
  );
}
