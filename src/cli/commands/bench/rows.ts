/** Figures as rows, each beside its floor. */
import type { BenchFigures, StartFigures } from "./measure.js";

export const BENCH_HEAD = ["", "P50", "P95", "FLOOR", "RATIO"] as const;

export interface BenchRow {
  readonly what: string;
  readonly p50Ms: number;
  readonly p95Ms: number;
  /** What `ratio` is to; null where the row is a floor itself. */
  readonly floor: string | null;
  /** Of the medians. */
  readonly ratio: number | null;
}

export function benchRows(figures: BenchFigures): readonly BenchRow[] {
  const { request, command, code, firstStart, laterStarts } = figures;
  const later = (key: keyof StartFigures): number[] => laterStarts.map((start) => start[key]);
  return [
    row("request", request),
    row("command", command, { name: "request", samples: request }),
    row("run of code", code, { name: "request", samples: request }),
    row("first start, ready", [firstStart.readyMs]),
    row("first start, code has answered", [firstStart.codeMs]),
    row("later start, ready", later("readyMs"), {
      name: "first start",
      samples: [firstStart.readyMs],
    }),
    row("later start, code has answered", later("codeMs"), {
      name: "first start",
      samples: [firstStart.codeMs],
    }),
  ];
}

function row(
  what: string,
  samples: readonly number[],
  floor?: { readonly name: string; readonly samples: readonly number[] },
): BenchRow {
  const p50Ms = percentile(samples, 0.5);
  return {
    what,
    p50Ms: rounded(p50Ms),
    p95Ms: rounded(percentile(samples, 0.95)),
    floor: floor?.name ?? null,
    ratio: floor === undefined ? null : rounded(p50Ms / percentile(floor.samples, 0.5)),
  };
}

function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}

/** Three digits. */
function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
