/** What a bench has started ends with it, also when a signal asks for that. */
import * as fs from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";

const steps = [];
let ending;

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(name, () => void end().then(() => process.exit(128 + constants.signals[name])));
}

/** Steps are taken in reverse order. */
export function onEnd(step) {
  steps.push(step);
}

export function end() {
  ending ??= takeSteps();
  return ending;
}

/** Under the system's folder for temporary files. */
export function makeScratch() {
  const path = fs.mkdtempSync(join(tmpdir(), "msb-bench-"));
  onEnd(() => fs.rmSync(path, { recursive: true, force: true }));
  return path;
}

async function takeSteps() {
  for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
    try {
      await step();
    } catch (error) {
      console.error(error);
    }
  }
}
