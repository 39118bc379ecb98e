import pino from "pino";
import { expect, test } from "vitest";
import { ServerMetrics } from "../../../src/server/metrics.js";
import { onNotice } from "../../../src/server/start.js";

const KEY = { namespace: "team", name: "box" };

test("the log names a sandbox in its events as it does in requests, and warns of failures", () => {
  const lines: Record<string, unknown>[] = [];
  const logger = pino(
    { base: null, timestamp: false, formatters: { level: (level) => ({ level }) } },
    { write: (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const tell = onNotice(logger, new ServerMetrics());
  const event = { seq: 1, at: "2026-01-01T00:00:00Z", message: "It ended." };
  tell({ kind: "event", key: KEY, event: { ...event, type: "stopped", details: { vm: "sb-1" } } });
  tell({ kind: "event", key: KEY, event: { ...event, type: "failed" } });
  const named = { namespace: "team", sandbox: "box", msg: "It ended." };
  expect(lines).toEqual([
    { level: "info", ...named, event: "stopped", vm: "sb-1" },
    { level: "warn", ...named, event: "failed" },
  ]);
});

test("the stages of starts are numbers for Prometheus", async () => {
  const metrics = new ServerMetrics();
  const tell = onNotice(pino({ level: "silent" }), metrics);
  tell({ kind: "stage", key: KEY, stage: { stage: "vm", durationMs: 1_500 } });
  expect(await metrics.registry.getSingleMetricAsString("msb_start_stage_seconds")).toContain(
    'msb_start_stage_seconds_sum{stage="vm"} 1.5',
  );
});
