/** A run from its options to the exit code of its command. */
import type { ExecExit } from "../../../agent/messages.js";
import { MsbError } from "../../../errors.js";
import type { OneRun, RunOnceRequest } from "../../../sandbox/run-once.js";
import type { StartStage } from "../../../sandbox/service.js";
import type { CliContext } from "../../context.js";
import { stopExitCode } from "../../error-report.js";
import { printJson } from "../../output.js";
import { withProgress } from "../../progress/with-progress.js";
import { given } from "../image/options.js";
import { attach, collected, type OutputSinks, terminalSize } from "./attach.js";
import { statusCode } from "../../command-exit.js";
import type { RunOpts } from "./options.js";
import { untilStopped } from "./stopping.js";

/** What a stop may take at its longest: the command's time to end, then the guest's. */
const MAX_CLEAN_UP_MS = 30_000;
const SIGTERM_CODE = 143;
const SIGHUP_CODE = 129;

/** Throws what kept the command from running to its end; nothing of the microVM is left then either. */
export async function runToEnd(
  ctx: CliContext,
  image: string,
  words: readonly string[],
  opts: RunOpts,
): Promise<number> {
  const hurry = new AbortController();
  ctx.service.expectStop({
    endsWithTerminal: true,
    maxCleanUpMs: MAX_CLEAN_UP_MS,
    hurry: () => hurry.abort(),
  });
  const beganMs = performance.now();
  const run = await start(ctx, requestOf(ctx, image, words, opts), opts);
  const startedMs = performance.now();
  const sinks = opts.json ? collected() : { stdout: ctx.stdout, stderr: ctx.stderr };
  const exit = await toItsEnd(ctx, run, { sinks, opts, hurry: hurry.signal });
  const endedMs = performance.now();
  await run[Symbol.asyncDispose]();
  const nowMs = performance.now();
  const load = stage("load", startedMs - beganMs - sumOf(run.stages));
  const stages = [
    load,
    ...run.stages,
    stage("run", endedMs - startedMs),
    stage("end", nowMs - endedMs),
  ];
  if (opts.json) printJson(ctx, document(run, exit, { sinks, stages, totalMs: nowMs - beganMs }));
  if (opts.stages) tellStages(ctx, run, stages, nowMs - beganMs);
  if (exit.timedOut) throw timedOut(opts.timeout ?? 0);
  if (exit.oomKilled) {
    ctx.stderr.write("msb-ts: The microVM was out of memory: give it more with --memory.\n");
  }
  return statusCode(exit);
}

function requestOf(
  ctx: CliContext,
  image: string,
  words: readonly string[],
  opts: RunOpts,
): RunOnceRequest {
  const { memory, cpus, disk, env, workdir, user, timeout, entrypoint } = opts;
  return {
    image,
    command: words,
    stdin: opts.interactive === true,
    ...given({ memoryMiB: memory, cpus, diskMiB: disk, env, workdir, user, timeoutMs: timeout }),
    ...(entrypoint === undefined ? {} : { entrypoint: entrypoint === "" ? [] : [entrypoint] }),
    ...(opts.tty ? { pty: { ...terminalSize(ctx), term: terminalKind(ctx) } } : {}),
  };
}

/** Whatever this terminal is, the guest need not have heard of it. */
function terminalKind({ env }: CliContext): string {
  const name = env["TERM"] ?? "";
  return /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/.test(name) && name !== "dumb" ? name : "xterm";
}

async function start(ctx: CliContext, request: RunOnceRequest, opts: RunOpts): Promise<OneRun> {
  const images = await ctx.images();
  const onFallback = (reason: string): void => {
    if (opts.stages) ctx.stderr.write(`MicroVMs run on QEMU, which is slower: ${reason}\n`);
  };
  return withProgress(ctx, opts, (onProgress) =>
    ctx.runOnce(request, {
      images,
      env: ctx.env,
      ...given({ hypervisor: opts.hypervisor, pullPolicy: opts.pull }),
      onFallback,
      onProgress,
      signal: ctx.signal,
    }),
  );
}

interface EndOpts {
  readonly sinks: OutputSinks;
  readonly opts: RunOpts;
  /** Aborts when nothing is waited for any more. */
  readonly hurry: AbortSignal;
}

async function toItsEnd(ctx: CliContext, run: OneRun, how: EndOpts): Promise<ExecExit> {
  const { opts, hurry, sinks } = how;
  const endAtOnce = (): void => void run[Symbol.asyncDispose]().catch(() => {});
  hurry.addEventListener("abort", endAtOnce, { once: true });
  const attachment = await attach(ctx, run.command, {
    sinks,
    hasInput: opts.interactive === true,
    isTerminal: opts.tty === true,
  });
  const stopping = untilStopped(ctx.signal, run.command, hurry);
  try {
    return await Promise.race([attachment.exited, stopping.stopped]);
  } catch (error) {
    attachment[Symbol.dispose]();
    const code = stopExitCode(ctx.signal);
    const isOrderly = code === SIGTERM_CODE || code === SIGHUP_CODE;
    await (isOrderly && !hurry.aborted ? run.stop() : run[Symbol.asyncDispose]());
    throw error;
  } finally {
    stopping[Symbol.dispose]();
    attachment[Symbol.dispose]();
  }
}

function sumOf(stages: readonly StartStage[]): number {
  return stages.reduce((sum, { durationMs }) => sum + durationMs, 0);
}

function stage(name: string, durationMs: number): StartStage {
  return { stage: name, durationMs: Math.max(0, Math.round(durationMs * 1000) / 1000) };
}

interface Ended {
  readonly sinks: OutputSinks;
  readonly stages: readonly StartStage[];
  readonly totalMs: number;
}

function document(run: OneRun, exit: ExecExit, { sinks, stages, totalMs }: Ended): object {
  return {
    image: run.image.digest,
    driver: run.driver,
    command: run.argv,
    exitCode: exit.exitCode,
    signal: exit.signal,
    timedOut: exit.timedOut,
    oomKilled: exit.oomKilled,
    ...("texts" in sinks ? sinks.texts() : {}),
    stages,
    durationMs: Math.round(totalMs),
  };
}

function tellStages(
  ctx: CliContext,
  run: OneRun,
  stages: readonly StartStage[],
  totalMs: number,
): void {
  const rows = [...stages, stage(`total (${run.driver})`, totalMs)];
  const width = Math.max(...rows.map((row) => row.stage.length)) + 2;
  for (const { stage: name, durationMs } of rows) {
    ctx.stderr.write(`${name.padEnd(width)}${durationMs.toFixed(0).padStart(7)} ms\n`);
  }
}

function timedOut(timeoutMs: number): MsbError {
  return new MsbError(
    "MSB_ERR_EXEC_TIMEOUT",
    `The command ran longer than ${timeoutMs / 1000} s (--timeout) and was killed.`,
    { details: { timeoutMs } },
  );
}
