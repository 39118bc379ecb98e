/** What all sandbox classes are: one sandbox of a server, by its name. */
import type { LogEntryView } from "../api/logs.js";
import type { SandboxView } from "../api/sandboxes.js";
import { MsbClient } from "./client.js";
import type { ClientOpts } from "./client-settings.js";
import { Command } from "./command.js";
import { Contexts } from "./contexts.js";
import { Lifecycle, type StopOpts } from "./lifecycle.js";
import { sdkError } from "./errors.js";
import { Metrics } from "./metrics.js";
import { callOpts, type WaitOpts } from "./options.js";

import type { Language } from "./session.js";
import type { StartOpts } from "./start-options.js";

export interface SandboxOpts extends ClientOpts {
  /** Names are unique within one. Default `default`. */
  readonly namespace?: string | undefined;
  /**
   * Letters, digits, `-` and `_`. Default: `sandbox-` and 8 hex digits. A sandbox whose name was made up is removed
   * with its disk when it is stopped; one whose name was given keeps its disk for the next start.
   */
  readonly name?: string | undefined;
}

/** Of `create`: those of the constructor, and those of `start`. */
export type CreateOpts = SandboxOpts & StartOpts;

export interface ConnectOpts extends ClientOpts, WaitOpts {
  /** Default `default`. */
  readonly namespace?: string | undefined;
}

export interface LogsOpts {
  /** `events`: what happened to the sandbox. `console`: what its kernel and its agent said. Default: both. */
  readonly source?: readonly ("events" | "console")[] | undefined;
  /** Goes on with what comes, until the reader stops, the signal aborts or the sandbox is removed. */
  readonly follow?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type SandboxInfo = SandboxView;
export type LogEntry = LogEntryView;

export const DEFAULT_NAMESPACE = "default";

/** What a class is by its nature. */
export interface SandboxKind {
  /** Of its code, unless said otherwise. */
  readonly language: Language;
  /** Null when there is no natural one. */
  readonly image: string | null;
}

/** For `connect`: who it is told to has its start behind it. */
const CONNECTED = Symbol("connected");
type AnyOpts = SandboxOpts & { readonly [CONNECTED]?: true };

export abstract class BaseSandbox implements AsyncDisposable {
  /** Runs programs. */
  readonly command: Command;
  /** What the sandbox uses. */
  readonly metrics: Metrics;
  /** More interpreters. */
  readonly contexts: Contexts;
  protected readonly lifecycle: Lifecycle;
  readonly #kind: SandboxKind;

  protected constructor(kind: SandboxKind, opts: AnyOpts) {
    const { namespace = DEFAULT_NAMESPACE, name } = opts;
    const given = opts[CONNECTED] === true ? "connected" : "given";
    this.#kind = kind;
    this.lifecycle = new Lifecycle({
      client: new MsbClient(opts),
      key: { namespace, name: name ?? `sandbox-${randomHex(4)}` },
      origin: name === undefined ? "madeUp" : given,
      defaultImage: kind.image,
    });
    this.command = new Command(this.lifecycle);
    this.metrics = new Metrics(this.lifecycle);
    this.contexts = new Contexts(this.lifecycle, kind.language);
  }

  /**
   * Makes an object and starts it. `await using sandbox = await …create()` stops it at the end of the scope. When the
   * start fails, nothing is left of it.
   */
  static async create<T extends BaseSandbox>(
    this: new (opts: SandboxOpts) => T,
    opts: CreateOpts = {},
  ): Promise<T> {
    const sandbox = new this(opts);
    await sandbox.start(opts);
    return sandbox;
  }

  /**
   * An object for a sandbox that runs, whoever started it. The end of a scope does not stop it. Throws
   * MSB_ERR_SANDBOX_NOT_FOUND, and MSB_ERR_INVALID_STATE when it does not run; it never makes one.
   */
  static async connect<T extends BaseSandbox>(
    this: new (opts: SandboxOpts) => T,
    name: string,
    opts: ConnectOpts = {},
  ): Promise<T> {
    const connected: AnyOpts = { ...opts, name, [CONNECTED]: true };
    const sandbox = new this(connected);
    await requireRunning(sandbox, opts);
    return sandbox;
  }

  get name(): string {
    return this.lifecycle.key.name;
  }

  get namespace(): string {
    return this.lifecycle.key.namespace;
  }

  /** Of the server. */
  get serverUrl(): string {
    return this.lifecycle.client.serverUrl;
  }

  /** Of the code that `run` is given. */
  get language(): Language {
    return this.#kind.language;
  }

  /** True between `start()` and `stop()` of this object. `metrics.isRunning()` asks the server. */
  get isStarted(): boolean {
    return this.lifecycle.isStarted;
  }

  /**
   * Starts the sandbox and waits until it can run code. One of the given name that runs is left as it is, with its
   * state; one that is stopped is started on its disk. When it fails, nothing is left running that it started.
   */
  async start(opts: StartOpts = {}): Promise<void> {
    await this.lifecycle.start(opts);
  }

  /**
   * Stops the sandbox, and removes it when its name was made up. Calls off a start that is under way. Stopping what is
   * stopped does nothing.
   */
  async stop(opts: StopOpts = {}): Promise<void> {
    await this.lifecycle.stop(opts);
  }

  /** Stops the sandbox if it runs, and removes it with its disk. */
  async remove(opts: WaitOpts = {}): Promise<void> {
    await this.lifecycle.remove(opts);
  }

  /** Interrupts what `run` runs in the language's own context, as Ctrl-C would; false when nothing runs. */
  async interrupt(opts: WaitOpts = {}): Promise<boolean> {
    this.lifecycle.requireStarted();
    const { client, key } = this.lifecycle;
    return client.interruptContext(key, this.language, callOpts(opts));
  }

  /** What the server knows of the sandbox, also when it is stopped. Throws MSB_ERR_SANDBOX_NOT_FOUND. */
  async info(opts: WaitOpts = {}): Promise<SandboxInfo> {
    return this.lifecycle.client.getSandbox(this.lifecycle.key, callOpts(opts));
  }

  /** What happened to the sandbox and what its console says, oldest first; also when it is stopped. */
  async *logs({ source, follow, signal }: LogsOpts = {}): AsyncGenerator<LogEntry, void> {
    const { client, key } = this.lifecycle;
    const query = {
      ...(source === undefined ? {} : { source: [...source] }),
      ...(follow === undefined ? {} : { follow }),
    };
    yield* client.logs(key, query, { signal });
  }

  /** As `stop()`; does nothing for an object of `connect`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.lifecycle.dispose();
  }
}

async function requireRunning(sandbox: BaseSandbox, { timeout, signal }: WaitOpts): Promise<void> {
  const { state } = await sandbox.info({ timeout, signal });
  if (state === "running") return;
  const { namespace, name } = sandbox;
  throw sdkError(
    "MSB_ERR_INVALID_STATE",
    `Sandbox ${namespace}/${name} does not run, it is ${state}. Start it with start(), create() or \`msb-ts start\`.`,
    { details: { namespace, name, state } },
  );
}

function randomHex(bytes: number): string {
  const values = globalThis.crypto.getRandomValues(new Uint8Array(bytes));
  return [...values].map((value) => value.toString(16).padStart(2, "0")).join("");
}
