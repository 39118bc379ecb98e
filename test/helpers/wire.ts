/** Sandboxes through the JSON-RPC endpoint, as tests of the contract use them. */
import type { it } from "vitest";
import type { DriverName } from "../../src/hypervisor/driver.js";
import { BUSYBOX_IMAGE } from "./server-images.js";
import type { HttpAnswer, PostOpts, TestServer } from "./server-process.js";

export interface Line {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

export interface RunAnswer {
  readonly status: string;
  readonly language: string;
  readonly output: readonly Line[];
}

export interface CommandAnswer {
  readonly command: string;
  readonly args: readonly string[];
  readonly exit_code: number;
  readonly success: boolean;
  readonly output: readonly Line[];
}

export interface MetricsAnswer {
  readonly namespace: string;
  readonly name: string;
  readonly running: boolean;
  readonly cpu_usage: number | null;
  readonly memory_usage: number | null;
  readonly disk_usage: number | null;
}

/** What failures other than those of the envelope look like. */
export interface FlatError {
  readonly error: string;
  readonly code: number | null;
}

export const out = (...texts: string[]): Line[] =>
  texts.map((text) => ({ stream: "stdout", text }));
export const err = (...texts: string[]): Line[] =>
  texts.map((text) => ({ stream: "stderr", text }));
/** The texts of one stream. */
export const textOf = (lines: readonly Line[], stream: Line["stream"] = "stdout"): string =>
  lines
    .filter((line) => line.stream === stream)
    .map((line) => line.text)
    .join("\n");

/** One sandbox on a server, by its name. */
export class WireSandbox {
  constructor(
    readonly server: TestServer,
    readonly name: string,
    readonly namespace = "default",
    private readonly opts: PostOpts = {},
  ) {}

  get key(): { namespace: string; sandbox: string } {
    return { namespace: this.namespace, sandbox: this.name };
  }

  start(config?: Readonly<Record<string, unknown>>): Promise<string> {
    const params = { ...this.key, ...(config === undefined ? {} : { config }) };
    return this.server.result("sandbox.start", params, this.opts);
  }

  stop(): Promise<string> {
    return this.server.result("sandbox.stop", this.key, this.opts);
  }

  command(command: string, args: readonly string[] = [], timeout?: number): Promise<CommandAnswer> {
    return this.server.result(
      "sandbox.command.run",
      this.#command(command, args, timeout),
      this.opts,
    );
  }

  /** A command whose answer may be a failure. */
  tryCommand(
    command: string,
    args: readonly string[] = [],
    timeout?: number,
  ): Promise<HttpAnswer<FlatError>> {
    return this.server.rpc("sandbox.command.run", this.#command(command, args, timeout), this.opts);
  }

  /** The lines of a shell's output. */
  async sh(script: string): Promise<readonly Line[]> {
    return (await this.command("sh", ["-c", script])).output;
  }

  run(code: string, opts: { language?: string; timeout?: number } = {}): Promise<RunAnswer> {
    const { language = "python", ...rest } = opts;
    return this.server.result(
      "sandbox.repl.run",
      { ...this.key, language, code, ...rest },
      this.opts,
    );
  }

  /** Ends the interpreter of a language, which JSON-RPC has no word for; the next code gets a new one. */
  async restartContext(language: string): Promise<void> {
    const path = `/api/v1/sandboxes/${this.namespace}/${this.name}/contexts/${language}/restart`;
    const { status, body } = await this.server.post(path, {}, this.opts);
    if (status !== 200) throw new Error(`${path}: ${status} ${JSON.stringify(body)}`);
  }

  async metrics(): Promise<MetricsAnswer> {
    const answer = await this.server.result<{ sandboxes: MetricsAnswer[] }>(
      "sandbox.metrics.get",
      this.key,
      this.opts,
    );
    const [first] = answer.sandboxes;
    if (first === undefined || answer.sandboxes.length !== 1) {
      throw new Error(`one sandbox was asked for: ${JSON.stringify(answer)}`);
    }
    return first;
  }

  #command(command: string, args: readonly string[], timeout?: number): Record<string, unknown> {
    return { ...this.key, command, args, ...(timeout === undefined ? {} : { timeout }) };
  }
}

/** The smallest that boots. */
export const SMALL = { image: BUSYBOX_IMAGE, memory: 256, cpus: 1 };

/**
 * `it` for the rows of a contract. The emulated KVM host is so slow that only the rows `essential` names are run
 * there; all are on QEMU.
 */
export function rowsOf(
  register: typeof it,
  driver: DriverName,
  essential: readonly string[],
): ((name: string, run: () => Promise<void>, timeoutMs?: number) => void) & { check(): void } {
  const seen = new Set<string>();
  const row = (name: string, run: () => Promise<void>, timeoutMs?: number): void => {
    seen.add(name);
    if (driver === "qemu" || essential.includes(name)) register(name, run, timeoutMs);
  };
  const check = (): void => {
    const unknown = essential.filter((name) => !seen.has(name));
    if (unknown.length > 0) throw new Error(`no rows of these names: ${unknown.join("; ")}`);
  };
  return Object.assign(row, { check });
}
