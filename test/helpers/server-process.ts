/** The server as its users run it: the built CLI in a process of its own, with an MSB_HOME of its own. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { Agent, fetch, type Headers } from "undici";
import type { DriverName } from "../../src/hypervisor/driver.js";
import { settlesWithin } from "../../src/util/async.js";
import { builtCli } from "./built-cli.js";
import { ServerHome } from "./server-home.js";

/** Node.js alone takes long to load on the emulated host. */
const START_MS = 90_000;
const STOP_MS = 60_000;
const LOG_LINES = 60;
/** A call takes as long as it takes; the test's own clock is the limit. */
const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });

export interface TestServerOpts {
  readonly driver: DriverName;
  /** Default: a new one, which goes with the server. */
  readonly home?: ServerHome;
  /** Default: everybody may do everything. */
  readonly auth?: "dev" | "keys";
  /** MSB_* variables. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What a server says to a request: its body as JSON if it is some, else as text. */
export interface HttpAnswer<T = unknown> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
}

export interface PostOpts {
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export class TestServer implements AsyncDisposable {
  #isDisposed = false;

  private constructor(
    private readonly child: ChildProcessByStdio<null, Readable, Readable>,
    readonly home: ServerHome,
    readonly url: string,
    private readonly ownsHome: boolean,
    private readonly log: () => string,
    private readonly closed: Promise<unknown>,
  ) {}

  static async start(opts: TestServerOpts): Promise<TestServer> {
    const cli = builtCli();
    const home = opts.home ?? (await ServerHome.make());
    const mode = (opts.auth ?? "dev") === "dev" ? ["--dev"] : [];
    const child = spawn(process.execPath, [cli, "server", "start", "--port", "0", ...mode], {
      env: {
        ...serverEnv(),
        MSB_HOME: home.path,
        MSB_HYPERVISOR: opts.driver,
        // How a sandbox starts is the same from one start to the next, unless a test is about that.
        MSB_MAX_TEMPLATES: "0",
        ...opts.env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let log = "";
    const closed = once(child, "close");
    closed.catch(() => {});
    try {
      const url = await new Promise<string>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`no address within ${START_MS} ms`)),
          START_MS,
        );
        const end = (): void => {
          clearTimeout(timer);
          reject(new Error(`it ended with ${child.exitCode ?? child.signalCode}`));
        };
        child.once("error", reject);
        child.once("close", end);
        const listen = (chunk: Buffer): void => {
          log += chunk.toString();
          const [, address] = /^Server listening on (\S+)$/m.exec(log) ?? [];
          if (address === undefined) return;
          clearTimeout(timer);
          child.off("close", end);
          resolve(`http://${address}`);
        };
        child.stdout.on("data", listen);
        child.stderr.on("data", listen);
      });
      return new TestServer(child, home, url, opts.home === undefined, () => log, closed);
    } catch (error) {
      child.kill("SIGKILL");
      if (opts.home === undefined) await home[Symbol.asyncDispose]();
      throw new Error(`The server did not start: ${(error as Error).message}\n${log}`, {
        cause: error,
      });
    }
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** All that it said. */
  fullLog(): string {
    return this.log();
  }

  /** The last of what it said. */
  logTail(): string {
    return this.log().trimEnd().split("\n").slice(-LOG_LINES).join("\n");
  }

  async post<T = unknown>(
    path: string,
    body: unknown,
    opts: PostOpts = {},
  ): Promise<HttpAnswer<T>> {
    const response = await fetch(this.url + path, {
      method: "POST",
      dispatcher,
      headers: {
        "content-type": "application/json",
        ...(opts.key === undefined ? {} : { authorization: `Bearer ${opts.key}` }),
        ...opts.headers,
      },
      body: typeof body === "string" ? body : JSON.stringify(body),
      ...(opts.signal === undefined ? {} : { signal: opts.signal }),
    });
    const text = await response.text();
    const isJson = /\bjson\b/.test(response.headers.get("content-type") ?? "");
    return {
      status: response.status,
      headers: response.headers,
      body: (isJson && text !== "" ? JSON.parse(text) : text) as T,
    };
  }

  /** One call of the JSON-RPC endpoint. */
  rpc<T = unknown>(method: string, params: unknown, opts: PostOpts = {}): Promise<HttpAnswer<T>> {
    return this.post("/api/v1/rpc", { jsonrpc: "2.0", method, params, id: "1" }, opts);
  }

  /** The result of a call that must succeed. */
  async result<T>(method: string, params: unknown, opts: PostOpts = {}): Promise<T> {
    const { status, body } = await this.rpc<{ result: T }>(method, params, opts);
    if (status !== 200) {
      throw new Error(`${method}: ${status} ${JSON.stringify(body)}\n${this.logTail()}`);
    }
    return body.result;
  }

  /** SIGKILL: it does nothing more. Its sandboxes go on. */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.closed;
  }

  /** SIGTERM, as a user ends it; its exit code. */
  async stop(): Promise<number | null> {
    this.child.kill("SIGTERM");
    if (!(await settlesWithin(this.closed, STOP_MS))) {
      await this.kill();
      throw new Error(`The server did not end within ${STOP_MS} ms.\n${this.logTail()}`);
    }
    return this.child.exitCode;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Stops it if it still runs. Throws when it leaves a process or a mount behind. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    try {
      if (this.hasEnded) return;
      await this.stop();
      const left = await this.home.settled([]);
      if (left.length > 0) throw new Error(`The server left processes: ${JSON.stringify(left)}`);
    } finally {
      if (this.ownsHome) await this.home[Symbol.asyncDispose]();
    }
  }
}

/** This process's environment without what would change a server. */
function serverEnv(): NodeJS.ProcessEnv {
  const kept = ["MSB_QEMU_ACCELERATOR", "MSB_LIBKRUN_PATH", "MSB_LIBKRUNFW_PATH"];
  const isWanted = (name: string): boolean => !name.startsWith("MSB_") || kept.includes(name);
  // What a guest needs until it is ready may be much on an emulated host that is busy.
  return {
    MSB_BOOT_TIMEOUT_MS: "120000",
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => isWanted(name))),
  };
}
