/** Starts an interpreter in the guest: which one there is, and what it says when it does not become ready. */
import type { AgentClient } from "../agent/agent-client.js";
import type { ExecSession } from "../agent/exec-session.js";
import { isMsbError, MsbError } from "../errors.js";
import { settlesWithin } from "../util/async.js";
import { printable } from "../util/printable.js";
import { Kernel } from "./kernel.js";
import type { KernelProgram } from "./programs/load.js";
import type { Language } from "./run-types.js";

/** Emulated guests on a busy host are slow; what takes longer will not come. */
const READY_TIMEOUT_MS = 60_000;
/** Linux errno of "no such file" and of "not a program for this machine or user". */
const NO_PROGRAM: readonly unknown[] = [2, 8, 13, 20];

export interface StartKernelOpts {
  readonly language: Language;
  readonly program: KernelProgram;
  readonly env: readonly string[];
  readonly workdir: string;
  readonly user: string;
  /** Told as soon as the guest has it: whoever adopts it later must know. */
  readonly onStarted: (kernel: Kernel) => void;
  /** Replaced by tests only. */
  readonly readyTimeoutMs?: number;
}

/** A kernel that is ready for code. Throws MSB_ERR_KERNEL_UNAVAILABLE, or MSB_ERR_EXEC_FAILED for a bad workdir or user. */
export async function startKernel(agent: AgentClient, opts: StartKernelOpts): Promise<Kernel> {
  const kernel = new Kernel(await startInterpreter(agent, opts));
  opts.onStarted(kernel);
  kernel.load(opts.program.source);
  const timeoutMs = opts.readyTimeoutMs ?? READY_TIMEOUT_MS;
  const isSettled = await settlesWithin(Promise.race([kernel.ready, kernel.gone]), timeoutMs);
  if (isSettled && kernel.isReady) return kernel;
  await kernel.kill();
  throw notReady(opts, kernel.takeStartOutput(), isSettled ? undefined : timeoutMs);
}

async function startInterpreter(agent: AgentClient, opts: StartKernelOpts): Promise<ExecSession> {
  const { candidates, args } = opts.program;
  for (const candidate of candidates) {
    try {
      return await agent.exec([candidate, ...args], {
        env: opts.env,
        cwd: opts.workdir,
        user: opts.user,
        control: true,
      });
    } catch (error) {
      if (!isMissingProgram(error)) throw error;
    }
  }
  throw new MsbError(
    "MSB_ERR_KERNEL_UNAVAILABLE",
    `This sandbox cannot run ${opts.language} code: none of ${candidates.join(", ")} is in its PATH. ` +
      `Use an image that has it, such as msb-ts/${opts.language}, or install it in the sandbox.`,
    { details: { language: opts.language, candidates } },
  );
}

function isMissingProgram(error: unknown): boolean {
  return (
    isMsbError(error, "MSB_ERR_EXEC_FAILED") &&
    error.details["operation"] === "execve" &&
    NO_PROGRAM.includes(error.details["errno"])
  );
}

function notReady(opts: StartKernelOpts, output: string, timeoutMs: number | undefined): MsbError {
  const said = printable(output).trim().slice(-1000);
  const what = timeoutMs === undefined ? "ended at its start" : `was not ready in ${timeoutMs} ms`;
  return new MsbError(
    "MSB_ERR_KERNEL_UNAVAILABLE",
    `The ${opts.language} interpreter of this sandbox ${what}${said === "" ? "" : `: ${said}`}. ` +
      `Use an image with a newer one, such as msb-ts/${opts.language}, or give the sandbox more memory.`,
    { details: { language: opts.language, output: said } },
  );
}

/** A kernel that an earlier host started, or undefined when it is gone or of no use. */
export async function adoptKernel(
  agent: AgentClient,
  stream: number,
  from: "adopted" | "resumed",
): Promise<Kernel | undefined> {
  let session: ExecSession;
  try {
    session = await agent.adopt(stream);
  } catch {
    return undefined;
  }
  const kernel = new Kernel(session, { from });
  return (await kernel.takeOver()) ? kernel : undefined;
}
