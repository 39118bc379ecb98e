import { expect, test } from "vitest";
import { ProgressMeter } from "../../../../src/oci/store/progress-meter.js";

test("bytes are told ten times a second, states always", () => {
  let nowMs = 0;
  const told: string[] = [];
  const meter = new ProgressMeter(
    { id: "x", label: "x", totalBytes: 1_000 },
    ({ state, doneBytes }) => told.push(`${nowMs} ${state} ${doneBytes}`),
    () => nowMs,
  );
  for (let bytes = 1; bytes <= 50; bytes++) {
    nowMs += 10;
    meter.advance(bytes);
  }
  meter.set("retrying");
  meter.set("done", { doneBytes: 1_000 });
  expect(told).toEqual([
    "10 running 1",
    "110 running 11",
    "210 running 21",
    "310 running 31",
    "410 running 41",
    "500 retrying 50",
    "500 done 1000",
  ]);
});
