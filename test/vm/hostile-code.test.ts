/**
 * Whatever code was run in a sandbox, in whatever order, the next code gives what it should.
 *
 *   MSB_TEST_SEQUENCES=200 MSB_TEST_SEED=1 npx vitest run ... test/vm/hostile-code.test.ts
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DriverName } from "../../src/hypervisor/driver.js";
import { isMsbError } from "../../src/errors.js";
import type { Kernels } from "../../src/kernel/kernels.js";
import { openKernels } from "../../src/kernel/open-kernels.js";
import type { Language } from "../../src/kernel/run-types.js";
import { Images } from "../../src/oci/images.js";
import { msbPaths } from "../../src/paths.js";
import { HOSTILE } from "../fixtures/kernel/hostile.js";
import { Random } from "../helpers/random.js";
import { ServerHome } from "../helpers/server-home.js";
import { NODE_IMAGE, PYTHON_IMAGE } from "../helpers/server-images.js";
import { testDrivers, VmFixture } from "../helpers/vm-fixture.js";

/** As many as take half a minute each on QEMU; Node.js takes seconds to start anew there. */
const SEQUENCES: Readonly<Record<DriverName, Readonly<Record<Language, number>>>> = {
  qemu: { python: 12, node: 4 },
  libkrun: { python: 4, node: 1 },
};
const MAX_LENGTH = 4;
const TIMEOUT_MS = 1_500;
/** From the deadline to the end of a run. */
const STOP_MS = 2_000;
/** What a busy host may add to that. */
const SLACK_MS = 3_000;
/** Of the next code, which may have to wait for a new interpreter. */
const NEXT_TIMEOUT_MS = 60_000;
const IMAGES = { python: PYTHON_IMAGE, node: NODE_IMAGE };
const PRINT = { python: "print(1)", node: "console.log(1)" };

const seed = Number(process.env["MSB_TEST_SEED"] ?? Date.now() % 1_000_000);

describe.each(testDrivers)("under %s", (driver) => {
  let home: ServerHome;
  beforeAll(async () => {
    home = await ServerHome.make();
  });
  afterAll(() => home?.[Symbol.asyncDispose]());

  describe.each(["python", "node"] as const)("a sandbox with %s", (language) => {
    const wanted = Number(process.env["MSB_TEST_SEQUENCES"] ?? SEQUENCES[driver][language]);
    let fixture: VmFixture;
    let kernels: Kernels;
    beforeAll(async () => {
      await using images = await Images.open({ paths: msbPaths(home.path), env: {} });
      const { disk } = await images.ensure(IMAGES[language], { pullPolicy: "never" });
      fixture = await VmFixture.open(driver);
      const guest = await fixture.boot({ imageDisk: disk.path, memoryMiB: 384 });
      kernels = await openKernels(guest.agent, {
        env: ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root"],
        workdir: "/root",
        user: "root",
      });
      await kernels.prewarm(language);
    });
    afterAll(() => fixture?.dispose());

    it(
      `answers after any ${wanted} sequences of hostile code of seed ${seed}`,
      { timeout: 120_000 + wanted * 60_000 },
      async () => {
        const random = new Random(seed);
        const names = Object.keys(HOSTILE[language]);
        for (let count = 0; count < wanted; count += 1) {
          const length = 1 + random.below(MAX_LENGTH);
          const sequence = Array.from({ length }, () => names[random.below(names.length)]!);
          const late: string[] = [];
          for (const name of sequence) {
            const lateMs = await runHostile(kernels, language, HOSTILE[language][name]!);
            if (lateMs > SLACK_MS) late.push(`${name}: ${Math.round(lateMs)} ms too late`);
          }
          const next = await printOne(kernels, language);
          expect({ count, sequence, late, ...next }).toEqual({
            count,
            sequence,
            late: [],
            lines: expect.arrayContaining(["1"]) as string[],
            reason: "completed",
          });
        }
      },
    );
  });
});

/** By how much it ended later than it may; the start of a new interpreter is not counted. */
async function runHostile(kernels: Kernels, language: Language, code: string): Promise<number> {
  await kernels.prewarm(language);
  const startedAt = performance.now();
  try {
    const run = kernels.run({ language, code, timeoutMs: TIMEOUT_MS });
    for await (const _event of run);
  } catch (error) {
    if (!isMsbError(error, "MSB_ERR_OUTPUT_LIMIT")) throw error;
  }
  return performance.now() - startedAt - TIMEOUT_MS - STOP_MS;
}

async function printOne(
  kernels: Kernels,
  language: Language,
): Promise<{ lines: string[]; reason: string }> {
  let text = "";
  let reason = "none";
  const code = PRINT[language];
  for await (const event of kernels.run({ language, code, timeoutMs: NEXT_TIMEOUT_MS })) {
    if (event.type === "stdout") text += event.text;
    if (event.type === "end") reason = event.reason;
  }
  // What was running on may have written before, at length.
  return { lines: text.trimEnd().split("\n").slice(-3), reason };
}
