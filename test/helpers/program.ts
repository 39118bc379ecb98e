/** A TypeScript program of a test in a process of its own, which talks in JSON lines. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const hooks = new URL("typescript-hooks.mjs", import.meta.url).href;

export interface ProgramOpts {
  readonly env?: NodeJS.ProcessEnv;
  /** `ulimit -f`: no file may become larger, the kernel sees to it. */
  readonly maxFileKiB?: number;
}

export class Program<Line = unknown> {
  readonly exited: Promise<{ exitCode: number | null; signal: NodeJS.Signals | null }>;
  readonly #child: ChildProcess;
  readonly #lines: Line[] = [];
  #wake: () => void = () => {};
  #hasEnded = false;
  #stderr = "";

  private constructor(child: ChildProcess) {
    this.#child = child;
    // One that was killed does not read what it is told.
    child.stdin!.on("error", () => {});
    child.stderr!.on("data", (chunk: Buffer) => (this.#stderr += chunk.toString()));
    createInterface(child.stdout!).on("line", (line) => {
      this.#lines.push(JSON.parse(line) as Line);
      this.#wake();
    });
    this.exited = once(child, "close").then(([exitCode, signal]) => {
      this.#hasEnded = true;
      this.#wake();
      return { exitCode: exitCode as number | null, signal: signal as NodeJS.Signals | null };
    });
    onTestFinished(() => void child.kill("SIGKILL"));
  }

  /** `url` is `import.meta.url` of the test, `file` is beside it; `input` becomes the only argument, as JSON. */
  static start<Line>(
    file: string,
    url: string,
    input: unknown,
    opts: ProgramOpts = {},
  ): Program<Line> {
    const path = fileURLToPath(new URL(file, url));
    const args = ["--import", hooks, path, JSON.stringify(input)];
    const spawnOpts = {
      stdio: ["pipe", "pipe", "pipe"] as ["pipe", "pipe", "pipe"],
      env: opts.env ?? process.env,
    };
    if (opts.maxFileKiB === undefined) return new Program(spawn(process.execPath, args, spawnOpts));
    const limit = `ulimit -f ${opts.maxFileKiB}; exec "$@"`;
    return new Program(spawn("bash", ["-c", limit, "bash", process.execPath, ...args], spawnOpts));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** The next line it says; throws when it ends without one. */
  async line(): Promise<Line> {
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined) return line;
      if (this.#hasEnded) throw new Error(`The program said nothing more. ${this.#stderr}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  say(text: string): void {
    this.#child.stdin!.write(`${text}\n`);
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }

  /** Waits for its end, which must be a good one. */
  async succeeds(): Promise<void> {
    const { exitCode, signal } = await this.exited;
    if (exitCode !== 0) throw new Error(`It ended with ${exitCode ?? signal}. ${this.#stderr}`);
  }
}
