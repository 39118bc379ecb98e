/** One interpreter in the guest that runs our program: what it says, what it runs, its interrupts and its end. */
import { randomBytes } from "node:crypto";
import { TextDecoder } from "node:util";
import type { ExecSession } from "../agent/exec-session.js";
import { Channel } from "../agent/frame.js";
import { deferred, settlesWithin } from "../util/async.js";
import { BetweenRuns, type OutputText } from "./between-runs.js";
import { CodeRun } from "./code-run.js";
import { ControlLines } from "./control-lines.js";
import { CONTROL_CLOSED, deathOf, EXITED, KILLED, type KernelDeath } from "./kernel-death.js";
import { encodeHostMessage, type KernelMessage, parseKernelMessage } from "./kernel-messages.js";

const SIGINT = 2;
const SIGKILL = 9;
/** From one SIGINT to the next, and from that to SIGKILL: the first may come before the code has begun. */
const INTERRUPT_GRACE_MS = 500;
/** How old a silent run is before it is sure that its code has begun, also on an emulated guest. */
const BEGINNING_MS = 3_000;
/** From SIGKILL to giving up on hearing how it ended; with the above less than 2 s. */
const KILL_WAIT_MS = 800;
/** What said that it exits may have handlers to run; what closed its control channel is mostly exiting, too. */
const EXIT_GRACE_MS = 2_000;
const CONTROL_CLOSED_GRACE_MS = 500;
const SYNC_TIMEOUT_MS = 5_000;

type OutputType = OutputText["type"];

/**
 * Reads its exec all the time, so that messages and ends are seen, and waits only for the caller of a run that is
 * under way. Everything that comes from it is hostile.
 */
export class Kernel {
  readonly #session: ExecSession;
  readonly #lines = new ControlLines();
  readonly #between = new BetweenRuns();
  readonly #decoders: Record<OutputType, TextDecoder> = {
    stdout: new TextDecoder("utf-8", { ignoreBOM: true }),
    stderr: new TextDecoder("utf-8", { ignoreBOM: true }),
  };
  readonly #ready = deferred<void>();
  readonly #gone = deferred<void>();
  /** While a new host does not know where the stream stands: all is dropped until the kernel answers with it. */
  #syncNonce: string | undefined;
  readonly #synced = deferred<void>();
  readonly #isResumed: boolean;
  #run: CodeRun | undefined;
  /** Runs that are interrupted until they heed it. */
  readonly #insisting = new WeakSet<CodeRun>();
  /** The last mark that was not answered yet: with it, those before are answered, too. */
  #mark: number | undefined;
  #isAnsweringMarks = false;
  #isReady = false;
  #hasState = false;
  #death: KernelDeath | undefined;
  /** Why it is as good as dead, whatever its exit will look like. */
  #doom: KernelDeath | undefined;

  /** An adopted or resumed session belongs to a kernel of another host, and `takeOver` is to be called. */
  constructor(session: ExecSession, opts: { from?: "adopted" | "resumed" } = {}) {
    this.#session = session;
    this.#hasState = opts.from === "adopted";
    this.#isResumed = opts.from === "resumed";
    if (opts.from !== undefined) this.#syncNonce = randomBytes(16).toString("hex");
    session.onControlClosed(() => void this.#endWithoutControl());
    void this.#read();
  }

  /** The number of its exec in the guest. */
  get stream(): number {
    return this.#session.stream;
  }

  /** Code has run in it, or may have: names of the user's would be lost with it. */
  get hasState(): boolean {
    return this.#hasState;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  get isGone(): boolean {
    return this.#death !== undefined;
  }

  /** Resolves when the program can run code. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Resolves when the interpreter has ended, or nothing can be heard of it any more. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  /** The run that is under way. */
  get run(): CodeRun | undefined {
    return this.#run;
  }

  /** Gives the stub the program (PROTOCOL.md, "Start"). */
  load(source: Buffer): void {
    this.#write(Buffer.concat([Buffer.from(`${source.length}\n`), source]));
  }

  /** What it wrote before it was ready. */
  takeStartOutput(): string {
    return this.#takeBetween()
      .map(({ text }) => text)
      .join("");
  }

  /** Starts `code` as `run`, which first gets what was written since the run before. There must be no other. */
  begin(run: CodeRun, code: string): void {
    this.#hasState = true;
    const message = encodeHostMessage({ type: "run", id: run.id, code });
    for (const { type, text } of this.#takeBetween()) run.output(type, text);
    run.begin();
    this.#run = run;
    if (this.#death !== undefined) this.#settleDead(run, this.#death);
    else this.#write(message);
  }

  /**
   * As Ctrl-C would; resolves when the signal has arrived. An interpreter that has not begun with the code ignores it,
   * so a run that has just begun gets it again and again, until it ends or shows that its code runs.
   */
  async interrupt(): Promise<void> {
    await this.#interrupt();
    const run = this.#run;
    if (run !== undefined && !this.#insisting.has(run)) void this.#insist(run);
  }

  /** Ends the run that is under way, with the interpreter if need be. Takes less than 2 s. */
  async stop(run: CodeRun): Promise<void> {
    const ended = run.outcome.catch(() => {});
    for (let attempt = 0; attempt < 2; attempt++) {
      // The signal must have arrived, too, or it would hit the next run.
      const interrupted = Promise.all([this.#interrupt().catch(() => {}), ended]);
      if (await settlesWithin(interrupted, INTERRUPT_GRACE_MS)) return;
    }
    await this.kill();
  }

  /** Ends it with all it started. Idempotent; when it resolves the kernel is gone. */
  async kill(): Promise<void> {
    if (this.#death !== undefined) return;
    // Its end is seen behind its output.
    this.#run?.hurry();
    this.#session.signal(SIGKILL, { scope: "tree" }).catch(() => {});
    if (!(await settlesWithin(this.gone, KILL_WAIT_MS))) this.#die(KILLED);
  }

  /**
   * Takes over a kernel that another host started: finds the beginning of its next message, and ends what it runs.
   * False when it is of no use; it is gone then.
   */
  async takeOver(): Promise<boolean> {
    const nonce = this.#syncNonce;
    const reseed = this.#isResumed ? ({ reseed: true } as const) : {};
    if (nonce !== undefined) this.#write(encodeHostMessage({ type: "sync", nonce, ...reseed }));
    await settlesWithin(Promise.race([this.#synced.promise, this.gone]), SYNC_TIMEOUT_MS);
    if (this.#syncNonce !== undefined) await this.kill();
    else if (this.#run !== undefined) await this.stop(this.#run);
    return !this.isGone;
  }

  async #interrupt(): Promise<void> {
    await this.#session.signal(SIGINT);
  }

  async #insist(run: CodeRun): Promise<void> {
    this.#insisting.add(run);
    const ended = run.outcome.then(
      () => {},
      () => {},
    );
    while (!(await settlesWithin(ended, INTERRUPT_GRACE_MS))) {
      if (this.#run !== run || run.hasEvents || run.ageMs > BEGINNING_MS) return;
      await this.#interrupt().catch(() => {});
    }
  }

  async #read(): Promise<void> {
    try {
      for await (const { channel, data } of this.#session.output) {
        if (channel === Channel.control) {
          this.#lines.push(data, (line) => this.#take(parseKernelMessage(line)));
        } else {
          this.#output(channel === Channel.stdout ? "stdout" : "stderr", data);
        }
        await this.#run?.room();
      }
      const exit = await this.#session.exited;
      this.#die(deathOf(exit));
    } catch (error) {
      this.#run?.fail(error);
      this.#die(KILLED);
    }
  }

  #output(type: OutputType, data: Buffer): void {
    if (this.#syncNonce !== undefined) return;
    this.#text(type, this.#decoders[type].decode(data, { stream: true }));
  }

  #text(type: OutputType, text: string): void {
    if (this.#run !== undefined) this.#run.output(type, text);
    else this.#between.add(type, text);
  }

  #take(message: KernelMessage | undefined): void {
    if (message === undefined) return;
    if (message.type === "synced") return this.#takeSynced(message);
    if (message.type === "mark") return void this.#answerMark(message.number);
    if (this.#syncNonce !== undefined) return;
    if (message.type === "ready") return this.#becomeReady();
    const run = this.#run;
    if (run === undefined || message.id !== run.id) return;
    if (message.type === "result") return run.result(message.result, message.sizeBytes);
    if (message.type === "error") return run.error(message.error);
    if (message.reason === "exited") return void this.#awaitExit();
    this.#flush();
    this.#run = undefined;
    run.settle({ kind: "ended", reason: message.reason });
  }

  #becomeReady(): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#takeBetween();
    this.#ready.resolve();
  }

  #takeSynced({ nonce, running }: Extract<KernelMessage, { type: "synced" }>): void {
    if (nonce !== this.#syncNonce) return;
    this.#syncNonce = undefined;
    this.#isReady = true;
    if (running !== null) {
      this.#run = new CodeRun(running, { maxOutputBytes: 0 });
      this.#run.requestStop("abandoned");
    }
    this.#synced.resolve();
  }

  /** All that it wrote before has been seen. One answer at a time: it may ask without reading any. */
  async #answerMark(number: number): Promise<void> {
    this.#mark = number;
    if (this.#isAnsweringMarks) return;
    this.#isAnsweringMarks = true;
    for (let next = this.#takeMark(); next !== undefined; next = this.#takeMark()) {
      const answer = encodeHostMessage({ type: "marked", number: next });
      await this.#session.writeControl(answer).catch(() => {});
    }
    this.#isAnsweringMarks = false;
  }

  #takeMark(): number | undefined {
    const number = this.#mark;
    this.#mark = undefined;
    return number;
  }

  /** It said that it exits: the end of the run is the end of the interpreter. */
  async #awaitExit(): Promise<void> {
    this.#doom ??= EXITED;
    this.#run?.hurry();
    if (!(await settlesWithin(this.gone, EXIT_GRACE_MS))) await this.kill();
  }

  /** Nothing more can be heard of it; it may be about to end by itself, which tells more. */
  async #endWithoutControl(): Promise<void> {
    if (await settlesWithin(this.gone, CONTROL_CLOSED_GRACE_MS)) return;
    this.#doom ??= CONTROL_CLOSED;
    await this.kill();
  }

  #die(seen: KernelDeath): void {
    if (this.#death !== undefined) return;
    // An exit code or a signal that it chose itself says more than that it was about to exit.
    const isKilled = seen === KILLED || seen.reason === "died";
    const death = isKilled && this.#doom !== undefined ? this.#doom : seen;
    this.#death = death;
    this.#flush();
    if (this.#run !== undefined) this.#settleDead(this.#run, death);
    this.#gone.resolve();
    // Frees it in the guest, with what it may have left running.
    this.#session.close().catch(() => {});
  }

  #settleDead(run: CodeRun, death: KernelDeath): void {
    this.#run = undefined;
    run.settle({ kind: "died", death });
  }

  /** Characters that were begun and never ended. */
  #flush(): void {
    for (const type of ["stdout", "stderr"] as const) {
      const text = this.#decoders[type].decode();
      if (text !== "") this.#text(type, text);
    }
  }

  #takeBetween(): OutputText[] {
    return this.#between.take();
  }

  #write(data: Buffer): void {
    // What cannot be written has a reason that is seen elsewhere: the interpreter's end, or the guest's.
    this.#session.writeControl(data).catch(() => {});
  }
}
