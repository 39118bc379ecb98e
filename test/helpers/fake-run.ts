/** A run in memory, for the CLI: the test writes the command's output and says how it ends. */
import { Channel } from "../../src/agent/frame.js";
import type { ExecExit, PtySize } from "../../src/agent/messages.js";
import { InboundFlow } from "../../src/agent/stream-flow.js";
import type { LocalRunOpts, RunOnce } from "../../src/cli/context.js";
import { MsbError } from "../../src/errors.js";
import type { OneRun, RunOnceRequest } from "../../src/sandbox/run-once.js";
import { deferred } from "../../src/util/async.js";
import { digestOfDigit } from "./fake-images.js";

export class FakeRun implements OneRun {
  readonly image = { digest: digestOfDigit("a"), names: [] };
  readonly driver = "qemu";
  readonly argv = ["cmd"];
  readonly stages = [{ stage: "vm", durationMs: 12 }];
  readonly input: Buffer[] = [];
  isInputEnded = false;
  readonly signals: [number, string | undefined][] = [];
  readonly sizes: PtySize[] = [];
  /** `stop` and `end`, as they were asked for. */
  readonly ends: string[] = [];
  request: RunOnceRequest | undefined;
  opts: LocalRunOpts | undefined;
  /** What happens when it has started, when it gets a signal, and when its input has ended. */
  onStart: (run: FakeRun) => void = () => {};
  onSignal: (run: FakeRun) => void = () => {};
  onInputEnd: (run: FakeRun) => void = () => {};
  startError: unknown;

  readonly #output = new InboundFlow(() => {});
  readonly #exited = deferred<ExecExit>();

  readonly start: RunOnce = async (request, opts) => {
    this.request = request;
    this.opts = opts;
    if (this.startError !== undefined) throw this.startError;
    setImmediate(() => this.onStart(this));
    return this;
  };

  readonly command: OneRun["command"] = {
    output: this.#output,
    exited: this.#exited.promise,
    write: async (data) => void this.input.push(Buffer.from(data)),
    endStdin: () => {
      this.isInputEnded = true;
      this.onInputEnd(this);
    },
    signal: async (signal, { scope } = {}) => {
      this.signals.push([signal, scope]);
      this.onSignal(this);
    },
    resize: async (size) => void this.sizes.push(size),
  };

  constructor() {
    this.#exited.promise.catch(() => {});
  }

  write(text: string | Buffer, channel: Channel = Channel.stdout): void {
    this.#output.accept({ channel, data: Buffer.from(text as string) });
  }

  exit(exit: Partial<ExecExit> = { exitCode: 0 }): void {
    this.#output.finish();
    this.#exited.resolve({
      exitCode: null,
      signal: null,
      timedOut: false,
      oomKilled: false,
      ...exit,
    });
  }

  async stop(): Promise<void> {
    this.ends.push("stop");
    this.#lose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ends.push("end");
    this.#lose();
  }

  #lose(): void {
    const error = new MsbError("MSB_ERR_VM_EXITED", "The microVM is gone.");
    this.#output.fail(error);
    this.#exited.reject(error);
  }
}
