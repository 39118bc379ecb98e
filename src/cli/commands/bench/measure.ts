/** What a server's sandboxes take, from a client's side. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { SandboxParams } from "../../../api/sandboxes.js";
import { MsbError } from "../../../errors.js";
import type { Language } from "../../../kernel/run-types.js";
import type { MsbClient } from "../../../sdk/client.js";

/** Requests before the clock runs. */
const WARM_UP = 5;

export interface MeasureOpts {
  readonly image: string;
  readonly language: Language;
  readonly rounds: number;
  readonly calls: number;
  readonly memoryMiB: number | undefined;
  /** Between the first start and the others. */
  readonly settleMs: number;
  readonly signal: AbortSignal;
  readonly onStep: (text: string) => void;
}

/** Milliseconds of each try. */
export interface BenchFigures {
  readonly request: readonly number[];
  readonly command: readonly number[];
  readonly code: readonly number[];
  /** From the request to a sandbox that is ready, and to the answer of its first code. */
  readonly firstStart: StartFigures;
  readonly laterStarts: readonly StartFigures[];
}

export interface StartFigures {
  readonly readyMs: number;
  readonly codeMs: number;
}

/** Leaves no sandbox behind, also when it is broken off. */
export async function measure(client: MsbClient, opts: MeasureOpts): Promise<BenchFigures> {
  const { signal, calls, rounds, settleMs, onStep } = opts;
  onStep(`Requests: ${calls}`);
  const request = await timesOf(calls, () => client.health({ signal }));
  onStep(`The first start from ${opts.image}`);
  await using first = await startOne(client, opts);
  onStep(`Commands and runs of code: ${calls} each`);
  const command = await timesOf(calls, () => runTrue(client, first.key, signal));
  const code = await timesOf(calls, () => runOne(client, first.key, opts));
  onStep("What the first start leaves for others");
  await sleep(settleMs, undefined, { signal });
  const laterStarts: StartFigures[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    onStep(`Start ${round} of ${rounds}`);
    await using later = await startOne(client, opts);
    laterStarts.push(later.figures);
  }
  return { request, command, code, firstStart: first.figures, laterStarts };
}

interface Started extends AsyncDisposable {
  readonly key: SandboxParams;
  readonly figures: StartFigures;
}

async function startOne(client: MsbClient, opts: MeasureOpts): Promise<Started> {
  const { image, memoryMiB, signal } = opts;
  const key = { namespace: "default", name: `bench-${randomBytes(4).toString("hex")}` };
  const remove = (): Promise<void> => client.removeSandbox(key, { force: true });
  const size = memoryMiB === undefined ? {} : { memoryMiB };
  const begin = performance.now();
  await client.createSandbox({ image, ...key, ...size }, { signal });
  try {
    const readyMs = performance.now() - begin;
    await runOne(client, key, opts);
    const figures = { readyMs, codeMs: performance.now() - begin };
    return { key, figures, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function runTrue(client: MsbClient, key: SandboxParams, signal: AbortSignal): Promise<void> {
  for await (const event of client.runCommand(key, { command: "true" }, { signal })) {
    if (event.type === "end" && event.exitCode !== 0) throw failed("true", event);
  }
}

async function runOne(
  client: MsbClient,
  key: SandboxParams,
  { language, signal }: MeasureOpts,
): Promise<void> {
  for await (const event of client.runCode(key, { code: "1", language }, { signal })) {
    if (event.type === "end" && event.status !== "success") throw failed("1", event);
  }
}

async function timesOf(count: number, work: () => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  for (let i = -WARM_UP; i < count; i += 1) {
    const begin = performance.now();
    await work();
    if (i >= 0) times.push(performance.now() - begin);
  }
  return times;
}

function failed(what: string, event: object): MsbError {
  return new MsbError("MSB_ERR_INTERNAL", `What was measured (${what}) failed in the sandbox.`, {
    details: { event },
  });
}
