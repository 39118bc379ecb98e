/** A command's streams, tied to those of this process: bytes as they come, no faster than they are taken. */
import { isUtf8 } from "node:buffer";
import type { Writable } from "node:stream";
import { Channel } from "../../../agent/frame.js";
import type { ExecExit, PtySize } from "../../../agent/messages.js";
import { isMsbError, messageOf, MsbError } from "../../../errors.js";
import type { RunningCommand } from "../../../sandbox/run-once.js";
import { type CliContext, isTerminal } from "../../context.js";
import { oneLine } from "../../format.js";
import { rawTerminal } from "../../raw-terminal.js";

/** Of a document, both streams together. */
const MAX_COLLECTED_BYTES = 64 * 1024 ** 2;
const DEFAULT_SIZE: PtySize = { cols: 80, rows: 24 };

/** Where output goes. */
export type OutputSinks = { readonly stdout: Writable; readonly stderr: Writable } | Collected;

interface Collected {
  readonly take: (channel: Channel, data: Buffer) => void;
  readonly texts: () => object;
}

export interface AttachOpts {
  readonly sinks: OutputSinks;
  readonly hasInput: boolean;
  /** The command has a terminal. */
  readonly isTerminal: boolean;
}

export interface Attachment extends Disposable {
  /** When all output was taken; throws as the command's output does. */
  readonly exited: Promise<ExecExit>;
}

/** Disposing of it gives the terminal back and reads no more input. */
export async function attach(
  ctx: CliContext,
  command: RunningCommand,
  opts: AttachOpts,
): Promise<Attachment> {
  const undo: (() => void)[] = [];
  if (opts.isTerminal) undo.push(followSize(ctx, command));
  if (opts.isTerminal && opts.hasInput) {
    const raw = await rawTerminal(ctx.stdin);
    undo.push(() => raw[Symbol.dispose]());
  }
  if (opts.hasInput) undo.push(passInput(ctx, command));
  const exited = drain(command, opts.sinks);
  // Whoever stops the command is not waiting for its output any more.
  exited.catch(() => {});
  return {
    exited,
    [Symbol.dispose]: () => {
      for (const step of undo.splice(0).toReversed()) step();
    },
  };
}

export function terminalSize({ stdout, stderr }: CliContext): PtySize {
  const terminal = [stdout, stderr].find(isTerminal);
  return {
    cols: terminal?.columns || DEFAULT_SIZE.cols,
    rows: terminal?.rows || DEFAULT_SIZE.rows,
  };
}

async function drain(command: RunningCommand, sinks: OutputSinks): Promise<ExecExit> {
  for await (const { channel, data } of command.output) {
    if ("take" in sinks) sinks.take(channel, data);
    else await written(channel === Channel.stderr ? sinks.stderr : sinks.stdout, data, channel);
  }
  return command.exited;
}

/** What cannot be told on standard error is lost, and no reason to end. */
function written(stream: Writable, data: Buffer, channel: Channel): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(data, (error) => {
      if (error && channel !== Channel.stderr) reject(error);
      else resolve();
    });
  });
}

/** Keeps output in memory, for a document. */
export function collected(): Collected {
  const chunks: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
  let bytes = 0;
  return {
    take: (channel, data) => {
      bytes += data.length;
      if (bytes > MAX_COLLECTED_BYTES) throw tooMuch();
      // A copy, so that a small chunk does not keep the whole socket buffer it came in.
      chunks[channel === Channel.stderr ? "stderr" : "stdout"].push(Buffer.from(data));
    },
    texts: () => ({
      ...textOf("stdout", Buffer.concat(chunks.stdout)),
      ...textOf("stderr", Buffer.concat(chunks.stderr)),
    }),
  };
}

/** Bytes that are no text are there as they are, too. */
function textOf(name: string, bytes: Buffer): Record<string, string> {
  const text = { [name]: bytes.toString("utf8") };
  return isUtf8(bytes) ? text : { ...text, [`${name}Base64`]: bytes.toString("base64") };
}

function passInput(ctx: CliContext, command: RunningCommand): () => void {
  const { stdin, stderr } = ctx;
  let isOver = false;
  const pass = async (): Promise<void> => {
    for await (const chunk of stdin) await command.write(chunk as Buffer);
    command.endStdin();
  };
  pass().catch((error: unknown) => {
    // The command has ended, or nobody wants its input any more.
    if (isOver || isMsbError(error)) return;
    stderr.write(`msb-ts: Standard input cannot be read: ${oneLine(messageOf(error))}\n`);
    command.endStdin();
  });
  return () => {
    isOver = true;
    stdin.destroy();
  };
}

function followSize(ctx: CliContext, command: RunningCommand): () => void {
  const onResize = (): void => {
    // A size that comes while there is no connection is as good as the next one.
    command.resize(terminalSize(ctx)).catch(() => {});
  };
  const terminals = [ctx.stdout, ctx.stderr].filter(isTerminal);
  for (const terminal of terminals) terminal.on("resize", onResize);
  return () => {
    for (const terminal of terminals) terminal.off("resize", onResize);
  };
}

function tooMuch(): MsbError {
  return new MsbError(
    "MSB_ERR_OUTPUT_LIMIT",
    `The command wrote more than ${MAX_COLLECTED_BYTES} bytes, which is too much for one document, and was ended. ` +
      "Leave --json out, or let it write to a file.",
    { details: { maxBytes: MAX_COLLECTED_BYTES } },
  );
}
