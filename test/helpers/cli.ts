/** Runs command lines in this process, with images in memory and streams that are kept. */
import { PassThrough, Readable, Writable } from "node:stream";
import type { CliContext, InputStream, OutputStream, RunOnce } from "../../src/cli/context.js";
import { runCli } from "../../src/cli/run.js";
import type { ServerModule, ServiceHost, StopPolicy } from "../../src/cli/service-host.js";
import { FakeImages } from "./fake-images.js";

/** "Now" of every command line that runs here. */
export const NOW_MS = Date.parse("2026-01-22T00:00:00Z");

export interface CliOpts {
  readonly images?: FakeImages;
  readonly env?: Record<string, string>;
  readonly stdin?: string;
  /** These are terminals. */
  readonly terminals?: readonly ("stdin" | "stdout" | "stderr")[];
  readonly signal?: AbortSignal;
  /** Throws this when images are asked for. */
  readonly openError?: unknown;
  readonly now?: () => number;
  readonly warnings?: readonly string[];
  /** What `run` starts. */
  readonly runOnce?: RunOnce;
  /** What `server start` starts. */
  readonly server?: ServerModule["startServer"];
}

export interface CliResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly images: FakeImages;
}

export interface KeptStream extends OutputStream {
  readonly text: () => string;
}

export function keptStream(opts: { isTerminal?: boolean; rows?: number } = {}): KeptStream {
  const chunks: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk.toString());
      done();
    },
  });
  const size = opts.isTerminal ? { isTTY: true, columns: 80, rows: opts.rows ?? 24 } : {};
  return Object.assign(stream, { text: () => chunks.join("") }, size);
}

export interface TestContext {
  readonly ctx: CliContext;
  readonly images: FakeImages;
  readonly stdout: KeptStream;
  readonly stderr: KeptStream;
}

export function testContext(opts: CliOpts = {}): TestContext {
  const isTerminal = (name: "stdin" | "stdout" | "stderr"): boolean =>
    opts.terminals?.includes(name) ?? false;
  const images = opts.images ?? new FakeImages();
  const stdout = keptStream({ isTerminal: isTerminal("stdout") });
  const stderr = keptStream({ isTerminal: isTerminal("stderr") });
  const stdin: InputStream =
    opts.stdin === undefined ? new PassThrough() : Readable.from([Buffer.from(opts.stdin)]);
  if (isTerminal("stdin")) stdin.isTTY = true;
  const ctx: CliContext = {
    stdin,
    stdout,
    stderr,
    env: opts.env ?? {},
    signal: opts.signal ?? new AbortController().signal,
    now: opts.now ?? (() => NOW_MS),
    images: () =>
      opts.openError === undefined ? Promise.resolve(images) : Promise.reject(opts.openError),
    runOnce:
      opts.runOnce ??
      (async () => {
        throw new Error("this test has nothing to run");
      }),
    service: fakeServiceHost(opts.server),
    warnings: opts.warnings ?? [],
    close: () => images[Symbol.asyncDispose](),
  };
  return { ctx, images, stdout, stderr };
}

function fakeServiceHost(startServer: CliOpts["server"]): ServiceHost {
  let stopPolicy: StopPolicy | null = null;
  return {
    command: [process.execPath],
    server: async () => {
      if (startServer === undefined) throw new Error("this test has no server to start");
      return { startServer };
    },
    get stopPolicy() {
      return stopPolicy;
    },
    expectStop: (policy) => {
      stopPolicy = policy;
    },
    onCrash: () => {},
    parent: () => null,
  };
}

export async function cli(args: readonly string[], opts: CliOpts = {}): Promise<CliResult> {
  const { ctx, images, stdout, stderr } = testContext(opts);
  const exitCode = await runCli(args, ctx);
  return { exitCode, stdout: stdout.text(), stderr: stderr.text(), images };
}
