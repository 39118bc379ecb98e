/**
 * Interpreters in memory, behind a FakeAgent: they speak src/kernel/PROTOCOL.md from the guest's side, keep to the
 * host's credit, and do as their "code" says, in words.
 */
import { Channel, decodeCredit, FrameType } from "../../src/agent/frame.js";
import { STREAM_WINDOW_BYTES } from "../../src/agent/messages.js";
import type { KernelProgram } from "../../src/kernel/programs/load.js";
import type { FakeAgent, FakeRequest } from "./fake-agent.js";

export const FAKE_PROGRAM: KernelProgram = {
  candidates: ["fake3", "fake"],
  args: ["-c", "stub"],
  source: Buffer.from("the program\nof two lines\n"),
};

type Output = { readonly channel: Channel; readonly data: Buffer };

/** All interpreters of one guest. */
export class FakeKernels {
  readonly kernels: FakeKernel[] = [];
  /** Programs that are in the guest's PATH. */
  readonly installed = new Set(FAKE_PROGRAM.candidates);
  /** What an interpreter does when it has got its program. */
  onLoaded: (kernel: FakeKernel) => void = (kernel) => kernel.say({ type: "ready", version: "1" });

  constructor(readonly agent: FakeAgent) {
    agent.hello["state"] = "ready";
    agent.on("exec.start", (request) => this.#start(request));
    agent.on("exec.signal", ({ stream, fields }) => {
      this.#find(stream)?.signal(fields["signal"] as number);
      return {};
    });
    agent.on("exec.close", ({ stream }) => {
      this.#find(stream)?.close();
      return {};
    });
    agent.on("exec.attach", ({ stream, fields }) =>
      this.#find(stream)?.attach(fields["outputOffset"] as number),
    );
    agent.onFrame = (frame) => {
      const kernel = this.#find(frame.stream);
      if (frame.type === FrameType.credit) kernel?.grant(decodeCredit(frame.payload).limit);
      else if (frame.channel === Channel.control) kernel?.take(frame.payload);
    };
  }

  get last(): FakeKernel {
    return this.kernels.at(-1) as FakeKernel;
  }

  /** As the agent tells a new connection. */
  announce(): void {
    this.agent.hello["nextStream"] = Math.max(0, ...this.kernels.map(({ stream }) => stream)) + 1;
    this.agent.hello["execs"] = this.kernels
      .filter(({ isClosed }) => !isClosed)
      .map((kernel) => ({
        stream: kernel.stream,
        pid: 7,
        running: !kernel.hasExited,
        outputOffset: kernel.confirmed,
        outputEnd: kernel.end,
        stdinOffset: kernel.received,
      }));
  }

  #find(stream: number): FakeKernel | undefined {
    return this.kernels.find((kernel) => kernel.stream === stream);
  }

  #start(request: FakeRequest): Record<string, unknown> | undefined {
    const [program] = request.fields["argv"] as string[];
    if (!this.installed.has(program as string)) {
      this.agent.send(request.stream, {
        id: request.id,
        type: "error",
        code: "exec",
        message: "no such file",
        operation: "execve",
        errno: 2,
      });
      return undefined;
    }
    this.kernels.push(new FakeKernel(this, request));
    return { pid: 7 };
  }
}

export class FakeKernel {
  readonly stream: number;
  readonly start: Readonly<Record<string, unknown>>;
  /** Code that was run. */
  readonly codes: string[] = [];
  readonly signals: number[] = [];
  /** What hosts that took it over asked of it. */
  readonly syncs: Record<string, unknown>[] = [];
  /** Marks that the host says it has seen. */
  readonly marked: number[] = [];
  source = "";
  received = 0;
  /** Bytes that the host has confirmed. */
  confirmed = 0;
  end = 0;
  isClosed = false;
  hasExited = false;
  isDeaf = false;
  /** It lets the host write no more than it may already. */
  isStuck = false;
  #input = Buffer.alloc(0);
  #size: number | undefined;
  #running: string | undefined;
  #isStubborn = false;
  /** SIGINTs that come before the code has begun. */
  #missed = 0;
  readonly #log: (Output | Record<string, unknown>)[] = [];
  #next = 0;
  #sent = 0;
  #limit = STREAM_WINDOW_BYTES;

  constructor(
    private readonly owner: FakeKernels,
    request: FakeRequest,
  ) {
    this.stream = request.stream;
    this.start = request.fields;
  }

  /** A message on the control channel. */
  say(message: Record<string, unknown>): void {
    this.write(Channel.control, `\n${JSON.stringify(message)}\n`);
  }

  write(channel: Channel, data: string | Buffer): void {
    const bytes = Buffer.from(data as string);
    for (let at = 0; at < bytes.length; at += 32_768) {
      const piece = bytes.subarray(at, at + 32_768);
      this.#log.push({ channel, data: piece });
      this.end += piece.length;
    }
    this.#flush();
  }

  /** Behind all output. */
  event(message: Record<string, unknown>): void {
    if (message["type"] === "exec.exited") this.hasExited = true;
    this.#log.push(message);
    this.#flush();
  }

  signal(number: number): void {
    this.signals.push(number);
    if (number === 9) this.event({ type: "exec.exited", signal: 9 });
    if (number !== 2 || this.#running === undefined || this.#isStubborn) return;
    if (this.#missed-- > 0) return;
    const error = { name: "KeyboardInterrupt", value: "", traceback: ["KeyboardInterrupt"] };
    this.say({ type: "error", id: this.#running, error });
    this.finish("interrupted");
  }

  finish(reason: string): void {
    this.say({ type: "end", id: this.#running, reason });
    this.#running = undefined;
  }

  close(): void {
    this.isClosed = true;
  }

  attach(outputOffset: number): Record<string, unknown> {
    this.#sent = outputOffset;
    this.#limit = outputOffset + STREAM_WINDOW_BYTES;
    let offset = 0;
    this.#next = this.#log.findIndex((item) => {
      if (!isOutput(item)) return false;
      offset += item.data.length;
      return offset > outputOffset;
    });
    if (this.#next < 0) this.#next = this.#log.length;
    setImmediate(() => this.#flush());
    return { outputOffset, stdinOffset: this.received, running: !this.hasExited };
  }

  grant(limit: number): void {
    this.confirmed = limit - STREAM_WINDOW_BYTES;
    this.#limit = limit;
    this.#flush();
  }

  take(data: Buffer): void {
    this.#receive(data);
    this.#input = Buffer.concat([this.#input, data]);
    for (;;) {
      const end = this.#size === undefined ? this.#input.indexOf(10) : this.#size;
      if (end < 0 || this.#input.length < end) return;
      if (this.#size === undefined) {
        this.#size = Number(this.#input.subarray(0, end).toString());
        this.#input = this.#input.subarray(end + 1);
        continue;
      }
      this.source = this.#input.subarray(0, end).toString();
      this.#input = this.#input.subarray(end);
      this.take = (more) => this.#takeLines(more);
      this.owner.onLoaded(this);
      return this.#takeLines(Buffer.alloc(0));
    }
  }

  #takeLines(data: Buffer): void {
    this.#receive(data);
    const lines = Buffer.concat([this.#input, data]).toString().split("\n");
    this.#input = Buffer.from(lines.pop() ?? "");
    for (const line of lines.filter((text) => text !== "")) {
      const message = parse(line);
      if (message === undefined || this.isDeaf) continue;
      if (message["type"] === "sync") {
        this.syncs.push(message);
        const running = this.#running ?? null;
        this.say({ type: "synced", nonce: message["nonce"], running });
      } else if (message["type"] === "marked") {
        this.marked.push(message["number"] as number);
      } else {
        this.#running = message["id"] as string;
        this.codes.push(message["code"] as string);
        this.#perform(message["code"] as string);
      }
    }
  }

  /** The host's credit let through all that was written. */
  get hasSentAll(): boolean {
    return this.#next === this.#log.length;
  }

  unstick(): void {
    this.isStuck = false;
    this.#receive(Buffer.alloc(0));
  }

  #receive(data: Buffer): void {
    this.received += data.length;
    if (this.isStuck) return;
    this.owner.agent.credit(this.stream, this.received, this.received + STREAM_WINDOW_BYTES);
  }

  /** One statement a line. */
  #perform(code: string): void {
    for (const statement of code.split("\n")) {
      const [word, ...rest] = statement.split(" ");
      const text = rest.join(" ");
      const id = this.#running;
      if (word === "print") this.write(Channel.stdout, `${text}\n`);
      else if (word === "warn") this.write(Channel.stderr, `${text}\n`);
      else if (word === "flood") this.write(Channel.stdout, Buffer.alloc(Number(text), "x"));
      else if (word === "bytes") this.write(Channel.stdout, Buffer.from(text, "hex"));
      else if (word === "control") this.write(Channel.control, Buffer.from(text, "hex"));
      else if (word === "value") {
        this.say({ type: "result", id, result: { isValue: true, text } });
      } else if (word === "nothings") {
        const empty = { id, error: {} };
        for (let n = 0; n < Number(text); n++) this.say({ type: "error", ...empty });
      } else if (word === "raise") {
        const error = { name: text, value: "why", traceback: [`${text}: why`] };
        this.say({ type: "error", id, error });
        return this.finish("exception");
      } else if (word === "exit") {
        return this.event({ type: "exec.exited", exitCode: Number(text) });
      } else if (word === "die") {
        const oomKilled = text === "oom";
        return this.event({ type: "exec.exited", signal: oomKilled ? 9 : Number(text), oomKilled });
      } else if (word === "hang-up") return this.event({ type: "exec.controlClosed" });
      else if (word === "loop") return;
      else if (word === "begin-late") {
        this.#missed = Number(text);
        return;
      } else if (word === "stubborn") {
        this.#isStubborn = true;
        return;
      }
    }
    this.finish("completed");
  }

  #flush(): void {
    for (;;) {
      const item = this.#log[this.#next];
      if (item === undefined) return;
      if (isOutput(item)) {
        if (this.#sent + item.data.length > this.#limit) return;
        this.#sent += item.data.length;
        this.owner.agent.output(this.stream, item.data, { channel: item.channel });
      } else {
        this.owner.agent.send(this.stream, item);
      }
      this.#next += 1;
    }
  }
}

function isOutput(item: Output | Record<string, unknown>): item is Output {
  return item["data"] instanceof Buffer;
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
