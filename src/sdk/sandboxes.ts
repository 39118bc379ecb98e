/** The classes: for Python, for Node.js, for any image. */
import type { ClientOpts } from "./client-settings.js";
import { BaseSandbox, type SandboxInfo, type SandboxOpts } from "./base-sandbox.js";
import { MsbClient } from "./client.js";
import type { Execution } from "./execution.js";
import { callOpts, type WaitOpts } from "./options.js";
import {
  runEvents,
  type RunEvent,
  type RunOpts,
  type RunStreamOpts,
  runToEnd,
} from "./run-code.js";
import type { Language } from "./session.js";

/** Runs code of one language. */
abstract class LanguageSandbox extends BaseSandbox {
  /**
   * Runs code; names, imports and open files are there for the next run. Code that fails, or takes too long, is a
   * result. Throws when it cannot be run: MSB_ERR_INVALID_STATE, MSB_ERR_KERNEL_UNAVAILABLE, MSB_ERR_OUTPUT_LIMIT.
   */
  async run(code: string, opts: RunOpts = {}): Promise<Execution> {
    this.lifecycle.requireStarted();
    return runToEnd(this.lifecycle, { language: this.language, code }, opts);
  }

  /** As `run`, event by event. A reader that stops early interrupts the code. */
  async *runStream(code: string, opts: RunStreamOpts = {}): AsyncGenerator<RunEvent, void> {
    this.lifecycle.requireStarted();
    yield* runEvents(this.lifecycle, { language: this.language, code }, opts);
  }
}

/** Runs Python. Its image is `python` unless another one is given that has Python. */
export class PythonSandbox extends LanguageSandbox {
  /** Throws MSB_ERR_INVALID_ARGUMENT for a `serverUrl` or an `apiKey` that is none. Nothing is sent before `start()`. */
  constructor(opts: SandboxOpts = {}) {
    super({ language: "python", image: "python" }, opts);
  }
}

/** Runs JavaScript in Node.js. Its image is `node` unless another one is given that has Node.js. */
export class NodeSandbox extends LanguageSandbox {
  /** Throws MSB_ERR_INVALID_ARGUMENT for a `serverUrl` or an `apiKey` that is none. Nothing is sent before `start()`. */
  constructor(opts: SandboxOpts = {}) {
    super({ language: "node", image: "node" }, opts);
  }
}

export interface LanguageOpts {
  /** Default `python`. */
  readonly language?: Language | undefined;
}

export interface ListOpts extends ClientOpts, WaitOpts {
  /** Default: all that the key is for. */
  readonly namespace?: string | undefined;
  /** Any of them. */
  readonly state?: readonly SandboxInfo["state"][] | undefined;
  /** All of them. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** Any image. Runs code of every language that the image has an interpreter for. */
export class Sandbox extends BaseSandbox {
  /** Throws MSB_ERR_INVALID_ARGUMENT for a `serverUrl` or an `apiKey` that is none. Nothing is sent before `start()`. */
  constructor(opts: SandboxOpts = {}) {
    super({ language: "python", image: null }, opts);
  }

  /** The server's sandboxes, sorted by namespace and name. `timeout` is for each page of them. */
  static async *list(opts: ListOpts = {}): AsyncGenerator<SandboxInfo, void> {
    const { namespace, state, labels } = opts;
    const label = labels && Object.entries(labels).map(([name, value]) => `${name}=${value}`);
    const filter = {
      ...(namespace === undefined ? {} : { namespace }),
      ...(state === undefined ? {} : { state: [...state] }),
      ...(label === undefined ? {} : { label }),
    };
    yield* new MsbClient(opts).listSandboxes(filter, callOpts(opts));
  }

  /** As PythonSandbox.run, in the language of `opts`. */
  async run(code: string, opts: RunOpts & LanguageOpts = {}): Promise<Execution> {
    this.lifecycle.requireStarted();
    const { language = this.language, ...rest } = opts;
    return runToEnd(this.lifecycle, { language, code }, rest);
  }

  /** As `run`, event by event. A reader that stops early interrupts the code. */
  async *runStream(
    code: string,
    opts: RunStreamOpts & LanguageOpts = {},
  ): AsyncGenerator<RunEvent, void> {
    this.lifecycle.requireStarted();
    const { language = this.language, ...rest } = opts;
    yield* runEvents(this.lifecycle, { language, code }, rest);
  }
}
