/** The supervisor's report: told to its owner line by line, and kept in a file for those who come later. */
import { open } from "node:fs/promises";
import { printable } from "../util/printable.js";
import type { BootStage, DriverName, VmExit } from "./driver.js";

/** A boot has about ten. */
const MAX_REPORT_LINES = 64;
/** The supervisor's own limit for the file. */
const MAX_REPORT_FILE_BYTES = 256 * 1024;
/** Of the console and of standard error in errors and VmExit. */
const ERROR_TAIL_LINES = 20;

/** One line; what is there depends on the stage (native/README.md). */
export interface ReportLine {
  readonly stage: string;
  readonly atMs: number;
  readonly pid?: number;
  readonly step?: string;
  readonly errno?: number;
  readonly message?: string;
  readonly exitCode?: number;
  readonly signal?: number;
  readonly reason?: string;
  readonly stderrTail?: string;
  readonly confinement?: readonly string[];
  /** In the file only. */
  readonly startTime?: string;
  readonly driver?: DriverName;
  readonly detached?: boolean;
  readonly consoleTail?: string;
}

/** How the supervisor itself ended, as far as the system tells. */
export interface SupervisorStatus {
  readonly exitCode: number | null;
  readonly signal: number | null;
}

const UNKNOWN_STATUS: SupervisorStatus = { exitCode: null, signal: null };

/** What the supervisor calls the end of a VM and what we call it; everything else was a kill. */
const EXIT_REASONS: ReadonlySet<string> = new Set(["guest", "owner-gone", "lease"]);

export class VmmReport {
  readonly stages: BootStage[] = [];
  readonly #lines = new Map<string, ReportLine>();

  /** Undefined when the file is not there. */
  static async read(path: string): Promise<VmmReport | undefined> {
    const text = await readCapped(path);
    if (text === undefined) return undefined;
    const report = new VmmReport();
    // A last line without its end is still being written.
    for (const line of text.split("\n").slice(0, -1)) {
      if (!report.isFull) report.take(line);
    }
    return report;
  }

  /** A supervisor that was taken over must not fill the host's memory. */
  get isFull(): boolean {
    return this.stages.length >= MAX_REPORT_LINES;
  }

  /** Adds a line; undefined for what is none. */
  take(text: string): ReportLine | undefined {
    const line = parseLine(text);
    if (line === undefined) return undefined;
    this.stages.push({ stage: line.stage, atMs: line.atMs });
    this.#lines.set(line.stage, line);
    return line;
  }

  has(stage: string): boolean {
    return this.#lines.has(stage);
  }

  /** Which process wrote it; only in the file. */
  get supervisor(): { readonly pid: number; readonly startTime: string } | undefined {
    const { pid, startTime } = this.#lines.get("sanitized") ?? {};
    const isPid = Number.isInteger(pid) && pid! > 0 && pid! <= 0x7fff_ffff;
    return isPid && typeof startTime === "string" ? { pid: pid!, startTime } : undefined;
  }

  /** Only in the file. */
  get driver(): DriverName | undefined {
    return this.#lines.get("configured")?.driver;
  }

  /** Only in the file. */
  get isDetached(): boolean {
    return this.#lines.get("configured")?.detached === true;
  }

  get vmPid(): number | null {
    return this.#lines.get("forked")?.pid ?? null;
  }

  get confinement(): readonly string[] {
    return this.#lines.get("entering")?.confinement ?? [];
  }

  /**
   * How the VM ended; `status` counts where the supervisor could not tell. `consoleTail` is what was
   * seen of the console, by default what the report has of it.
   */
  describeExit(
    opts: { status?: SupervisorStatus; isStopping?: boolean; consoleTail?: string } = {},
  ): VmExit {
    const failure = this.#lines.get("failed");
    const ending = this.#lines.get("exited");
    const { exitCode = null, signal = null } = ending ?? opts.status ?? UNKNOWN_STATUS;
    const last = ending ?? failure;
    return {
      exitCode,
      signal,
      reason: opts.isStopping === true ? "stopped" : this.#exitReason(),
      consoleTail: lastLines(opts.consoleTail ?? last?.consoleTail ?? ""),
      stderrTail: lastLines(last?.stderrTail ?? ""),
      ...(failure === undefined
        ? {}
        : {
            failure: {
              step: failure.step ?? "start",
              errno: failure.errno ?? 0,
              message: failure.message ?? "",
            },
          }),
    };
  }

  #exitReason(): VmExit["reason"] {
    if (this.#lines.has("failed")) return "failed";
    const reason = this.#lines.get("exited")?.reason ?? "";
    return EXIT_REASONS.has(reason) ? (reason as VmExit["reason"]) : "killed";
  }
}

const FIELD_TYPES: Readonly<Record<Exclude<keyof ReportLine, "confinement">, string>> = {
  stage: "string",
  atMs: "number",
  pid: "number",
  step: "string",
  errno: "number",
  message: "string",
  exitCode: "number",
  signal: "number",
  reason: "string",
  stderrTail: "string",
  startTime: "string",
  driver: "string",
  detached: "boolean",
  consoleTail: "string",
};

/** Undefined for what is no line; a supervisor that a guest has broken may write anything. */
function parseLine(text: string): ReportLine | undefined {
  try {
    const line = JSON.parse(text) as Record<string, unknown> | null;
    if (typeof line !== "object" || line === null || !("stage" in line)) return undefined;
    const isGood = Object.entries(FIELD_TYPES).every(([name, type]) => {
      const value = line[name];
      return value === undefined || value === null || typeof value === type;
    });
    const { stage, atMs, confinement = [] } = line;
    if (!isGood || stage === null || typeof atMs !== "number") return undefined;
    if (!Array.isArray(confinement) || !confinement.every((one) => typeof one === "string")) {
      return undefined;
    }
    return line as unknown as ReportLine;
  } catch {
    return undefined;
  }
}

async function readCapped(path: string): Promise<string | undefined> {
  const file = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const buffer = Buffer.alloc(MAX_REPORT_FILE_BYTES);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}

function lastLines(text: string): string {
  return printable(text).trimEnd().split("\n").slice(-ERROR_TAIL_LINES).join("\n");
}
