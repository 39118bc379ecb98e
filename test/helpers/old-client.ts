/** Drives `old-client.py`: the classes of a Python client of the microsandbox 0.2 time, one call a line. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("old-client.py", import.meta.url));
/** The system's own, which sees Debian's aiohttp; another one in PATH would not. */
const PYTHON = "/usr/bin/python3";

export type SandboxClass = "PythonSandbox" | "NodeSandbox";

export interface SandboxArguments {
  readonly class?: SandboxClass;
  readonly name?: string;
  readonly namespace?: string;
  readonly server_url?: string;
  readonly api_key?: string;
}

/** What a Python call gave or raised. */
export interface PythonAnswer<T = unknown> {
  readonly value?: T;
  readonly error?: { readonly type: string; readonly message: string };
  readonly warnings: readonly string[];
}

export interface ExecutionFacts {
  readonly status: string;
  readonly language: string;
  readonly has_error: boolean;
  readonly output: string;
  readonly error: string;
}

export interface CommandFacts {
  readonly command: string;
  readonly args: readonly string[];
  readonly exit_code: number;
  readonly success: boolean;
  readonly output: string;
  readonly error: string;
}

export interface MetricsFacts {
  readonly namespace: string;
  readonly name: string;
  readonly running: boolean;
  readonly cpu_usage: number | null;
  readonly memory_usage: number | null;
  readonly disk_usage: number | null;
}

/** A Python exception, as a JavaScript one. */
export class PythonError extends Error {
  override readonly name = "PythonError";

  constructor(
    readonly type: string,
    readonly text: string,
  ) {
    super(`${type}: ${text}`);
  }
}

export class OldClient implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #waiting = new Map<number, (answer: PythonAnswer) => void>();
  #count = 0;
  #stderr = "";

  constructor(url: string, key = "") {
    const { MSB_API_KEY: _key, MSB_SERVER_URL: _url, ...env } = process.env;
    this.#child = spawn(PYTHON, [PROGRAM, url, key], { env, stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr.on("data", (chunk: Buffer) => (this.#stderr += chunk.toString()));
    this.#child.stdin.on("error", () => {});
    createInterface(this.#child.stdout).on("line", (line) => {
      const { id, ...answer } = JSON.parse(line) as PythonAnswer & { id: number };
      this.#waiting.get(id)?.(answer);
      this.#waiting.delete(id);
    });
    this.#child.once("close", () => {
      const error = { type: "Exit", message: `The client ended. ${this.#stderr}` };
      for (const settle of this.#waiting.values()) settle({ error, warnings: [] });
      this.#waiting.clear();
    });
  }

  /** All that came of one call; never rejects. */
  ask<T>(command: {
    readonly do: string;
    readonly [key: string]: unknown;
  }): Promise<PythonAnswer<T>> {
    const id = ++this.#count;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve as (answer: PythonAnswer) => void);
      this.#child.stdin.write(`${JSON.stringify({ id, ...command })}\n`);
    });
  }

  /** A sandbox object with an HTTP session, which knows nothing of a server yet. */
  async make(
    opts: SandboxArguments & { session?: boolean; session_timeout?: number } = {},
  ): Promise<OldSandbox> {
    const as = `sandbox${++this.#count}`;
    return new OldSandbox(this, as, await this.call<string>({ do: "new", as, ...opts }));
  }

  /** The head of `async with PythonSandbox.create(…)`. */
  async enter(opts: SandboxArguments = {}): Promise<OldSandbox> {
    const as = `sandbox${++this.#count}`;
    return new OldSandbox(this, as, await this.call<string>({ do: "enter", as, ...opts }));
  }

  /** As `ask`; throws PythonError. */
  async call<T>(command: { readonly do: string; readonly [key: string]: unknown }): Promise<T> {
    const { error, value } = await this.ask<T>(command);
    if (error !== undefined) throw new PythonError(error.type, error.message);
    return value as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await closed;
  }
}

/** One sandbox object in the Python program; all calls throw PythonError. */
export class OldSandbox {
  constructor(
    readonly client: OldClient,
    readonly id: string,
    readonly name: string,
  ) {}

  start(
    opts: { image?: string; memory?: number; cpus?: number; timeout?: number } = {},
  ): Promise<null> {
    return this.client.call({ do: "start", on: this.id, with: opts });
  }

  /** The same, with the warnings it gave. */
  startAnswer(opts: Record<string, unknown> = {}): Promise<PythonAnswer<null>> {
    return this.client.ask({ do: "start", on: this.id, with: opts });
  }

  stop(): Promise<null> {
    return this.client.call({ do: "stop", on: this.id });
  }

  run(code: string): Promise<ExecutionFacts> {
    return this.client.call({ do: "run", on: this.id, code });
  }

  command(command: string, args?: readonly string[], timeout?: number): Promise<CommandFacts> {
    const given = {
      command,
      ...(args === undefined ? {} : { args }),
      ...(timeout === undefined ? {} : { timeout }),
    };
    return this.client.call({ do: "command", on: this.id, with: given });
  }

  metrics(): Promise<MetricsFacts> {
    return this.client.call({ do: "metrics", on: this.id, get: "all" });
  }

  metric<T>(get: "cpu" | "memory" | "disk" | "is_running"): Promise<T> {
    return this.client.call({ do: "metrics", on: this.id, get });
  }

  /** The end of `async with`; `raising` is the text of an exception of its body. */
  exit(raising?: string): Promise<null> {
    return this.client.call({
      do: "exit",
      on: this.id,
      ...(raising === undefined ? {} : { raising }),
    });
  }

  close(): Promise<null> {
    return this.client.call({ do: "close", on: this.id });
  }

  state(): Promise<{ is_started: boolean; has: string[] }> {
    return this.client.call({ do: "state", on: this.id });
  }
}
