/** Drives a kernel program as a host does: an interpreter of this machine with a control channel. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { kernelProgram } from "../../src/kernel/programs/load.js";
import type { Language, RichResult, RunError } from "../../src/kernel/run-types.js";

/** Interpreters to test with, instead of the ones in PATH. */
const OVERRIDES = { python: process.env.MSB_TEST_PYTHON, node: process.env.MSB_TEST_NODE };

export type KernelMessage = { readonly type: string } & Readonly<Record<string, unknown>>;

/** What one run gave. */
export interface KernelRun {
  readonly stdout: string;
  readonly stderr: string;
  readonly results: readonly RichResult[];
  readonly error: RunError | null;
  /** `timeout`: the interrupt came after `timeoutMs`; `died`: there is no kernel any more. */
  readonly reason: string;
  /** As callers that know lines only get them, in order: "out ", "err " and the line. */
  readonly lines: readonly string[];
}

export interface KernelStartOpts {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  /** As a Node.js that does not let its own parser be used. */
  readonly withoutInternals?: boolean;
  /** For the interpreter, before the program's own arguments. */
  readonly flags?: readonly string[];
}

export interface KernelRunOpts {
  /** Then SIGINT is sent; 2 seconds later, SIGKILL. Default 20,000. */
  readonly timeoutMs?: number;
  /** Sends SIGINT once standard output contains this. */
  readonly interruptAt?: string;
}

type Piece = readonly [stream: "out" | "err", text: string];

/** One interpreter. End it with `stop()`. */
export class KernelDriver {
  readonly messages: KernelMessage[] = [];
  private pieces: Piece[] = [];
  private rest = "";
  private readonly waiting = new Set<() => void>();
  hasEnded = false;

  private constructor(readonly child: ChildProcess) {
    child.stdout!.setEncoding("utf8").on("data", (text: string) => this.take(["out", text]));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => this.take(["err", text]));
    // Behind what the pipes held then, which comes in the same turn: as the agent hands it on.
    this.control
      .setEncoding("utf8")
      .on("data", (text: string) => setImmediate(() => this.read(text)));
    this.control.on("error", () => {});
    child.once("exit", () => {
      this.hasEnded = true;
      this.wake();
    });
  }

  static async start(language: Language, opts: KernelStartOpts = {}): Promise<KernelDriver> {
    const { candidates, args, source } = await kernelProgram(language);
    const argv = opts.withoutInternals ? args.filter((arg) => arg !== "--expose-internals") : args;
    const flags = opts.flags ?? [];
    const child = spawn(OVERRIDES[language] || candidates[0]!, [...flags, ...argv], {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      env: { ...cleanEnv(), MSB_CONTROL_FD: "3", ...opts.env },
      ...(opts.cwd === undefined ? {} : { cwd: opts.cwd }),
    });
    const driver = new KernelDriver(child);
    driver.control.write(`${source.length}\n`);
    driver.control.write(source);
    await driver.until(() => driver.hasEnded || driver.messages.some((m) => m.type === "ready"));
    if (driver.hasEnded) throw new Error(`the kernel did not start: ${driver.text("err")}`);
    return driver;
  }

  get control(): Duplex {
    return this.child.stdio[3] as Duplex;
  }

  get version(): string {
    return String(this.messages.find((m) => m.type === "ready")?.version);
  }

  send(message: unknown): void {
    this.control.write(`\n${JSON.stringify(message)}\n`);
  }

  /** As a new host does; resolves with the answer. With `reseed` the interpreter is told that it is a copy. */
  async sync(opts: { readonly reseed?: boolean } = {}): Promise<KernelMessage | undefined> {
    const nonce = randomBytes(8).toString("hex");
    const find = (): KernelMessage | undefined => this.messages.find((m) => m.nonce === nonce);
    this.send({ type: "sync", nonce, ...opts });
    await this.until(() => find() !== undefined, 5_000);
    return find();
  }

  async run(code: string, opts: KernelRunOpts = {}): Promise<KernelRun> {
    const id = randomBytes(8).toString("hex");
    const from = this.messages.length;
    const isEnd = (m: KernelMessage): boolean => m.type === "end" && m.id === id;
    const hasEnded = (): boolean => this.hasEnded || this.messages.slice(from).some(isEnd);
    this.send({ type: "run", id, code });
    if (opts.interruptAt !== undefined) {
      await this.until(() => hasEnded() || this.text("out").includes(opts.interruptAt!));
      this.child.kill("SIGINT");
    }
    const isLate = !(await this.until(hasEnded, opts.timeoutMs ?? 20_000));
    if (isLate) await this.force(hasEnded);
    // Both pipes are read after the message at the latest.
    await sleep(this.hasEnded ? 50 : 5);
    const mine = this.messages.slice(from).filter((m) => m.id === id);
    const end = mine.find(isEnd);
    return this.collect(mine, isLate ? "timeout" : end === undefined ? "died" : String(end.reason));
  }

  /** Until `isTrue`, or false after `timeoutMs`. */
  async until(isTrue: () => boolean, timeoutMs = 20_000): Promise<boolean> {
    const until = performance.now() + timeoutMs;
    const timer = setTimeout(() => this.wake(), timeoutMs + 1);
    while (!isTrue() && performance.now() < until)
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    clearTimeout(timer);
    return isTrue();
  }

  /** What was written and not yet returned by a run. */
  text(stream: "out" | "err"): string {
    return this.pieces.map(([from, text]) => (from === stream ? text : "")).join("");
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await ended;
  }

  private async force(hasEnded: () => boolean): Promise<void> {
    this.child.kill("SIGINT");
    if (await this.until(hasEnded, 2000)) return;
    this.child.kill("SIGKILL");
    await this.until(hasEnded);
  }

  private take(piece: Piece): void {
    this.pieces.push(piece);
    this.wake();
  }

  private read(text: string): void {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop()!;
    for (const line of lines) {
      const message = messageOf(line);
      if (message === null) continue;
      if (message.type === "mark") {
        this.send({ type: "marked", number: message.number });
        continue;
      }
      this.messages.push(message);
      if (message.type !== "result") continue;
      const { isValue, text: value } = message.result as RichResult;
      if (isValue && value !== undefined) this.pieces.push(["out", `\0${value}\0`]);
    }
    this.wake();
  }

  private wake(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }

  private collect(mine: readonly KernelMessage[], reason: string): KernelRun {
    const pieces = this.pieces;
    this.pieces = [];
    const plain = (stream: "out" | "err"): string =>
      pieces
        .map(([from, text]) => (from === stream && !text.startsWith("\0") ? text : ""))
        .join("");
    return {
      stdout: plain("out"),
      stderr: plain("err"),
      results: mine.filter((m) => m.type === "result").map((m) => m.result as RichResult),
      error: (mine.find((m) => m.type === "error")?.error as RunError | undefined) ?? null,
      reason,
      lines: toLines(pieces),
    };
  }
}

/** null for what is no message: an interrupt may cut one, and the next one begins on a line of its own. */
function messageOf(line: string): KernelMessage | null {
  try {
    return JSON.parse(line) as KernelMessage;
  } catch {
    return null;
  }
}

/** A stream's unfinished line ends where the other one begins; a value goes on behind its stream's, as on the wire. */
function toLines(pieces: readonly Piece[]): string[] {
  const lines: string[] = [];
  let last: string | null = null;
  let isOpen = false;
  for (const [stream, part] of pieces) {
    const isValue = part.startsWith("\0");
    const [first = "", ...others] = (isValue ? `${part.slice(1, -1)}\n` : part).split("\n");
    if (isOpen && stream === last) lines.push(`${lines.pop()}${first}`);
    else lines.push(`${stream} ${first}`);
    for (const line of others) lines.push(`${stream} ${line}`);
    // Behind a line feed at the end is nothing yet.
    isOpen = others.length === 0 || others.at(-1) !== "";
    if (!isOpen) lines.pop();
    last = stream;
  }
  return lines;
}

function cleanEnv(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _options, FORCE_COLOR: _color, PYTHONPATH: _path, ...env } = process.env;
  return env;
}
