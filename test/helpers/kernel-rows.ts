/** Runs the rows of test/fixtures/kernel/ in kernels of this machine. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { Language } from "../../src/kernel/run-types.js";
import type { KernelRow } from "../fixtures/kernel/row.js";
import { KernelDriver } from "./kernel-driver.js";

/** One kernel after the other: a new one where there is none, or none any more. */
export class KernelPool {
  private driver: KernelDriver | null = null;
  /** How many interpreters there were. */
  starts = 0;

  constructor(
    private readonly language: Language,
    private readonly opts: { readonly cwd?: string; readonly env?: Record<string, string> } = {},
  ) {}

  async kernel(): Promise<KernelDriver> {
    if (this.driver !== null && !this.driver.hasEnded) return this.driver;
    this.starts++;
    this.driver = await KernelDriver.start(this.language, this.opts);
    return this.driver;
  }

  async stop(): Promise<void> {
    await this.driver?.stop();
    this.driver = null;
  }
}

/** The kernel is to go on afterwards; a row that ends it gets a new one. */
export async function expectRow(pool: KernelPool, row: KernelRow): Promise<void> {
  const kernel = await pool.kernel();
  if (row.before !== undefined) await kernel.run(row.before);
  if (row.pauseMs !== undefined) await sleep(row.pauseMs);
  const opts = row.timeoutMs === undefined ? {} : { timeoutMs: row.timeoutMs };
  const run = await kernel.run(row.code, opts);
  const shown = run.lines.slice(0, 40).join("\n");
  if (row.lines !== undefined) expect(run.lines).toEqual(row.lines);
  let at = 0;
  for (const pattern of row.linesMatch ?? []) {
    const found = run.lines.slice(at).findIndex((line) => pattern.test(line));
    if (found === -1) throw new Error(`No line like ${pattern} in\n${shown}`);
    at += found + 1;
  }
  expect({ lines: shown, status: run.reason === "completed" ? "success" : "error" }).toEqual({
    lines: shown,
    status: row.status,
  });
  if (row.timeoutMs !== undefined) expect(run.reason).toBe("timeout");
  if (row.isLast === true) await pool.stop();
}
