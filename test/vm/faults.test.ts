/**
 * What is left when parts are killed, and what is answered when more is asked for than there is. By hand with
 * MSB_FAULT_ROUNDS=200, and MSB_FAULT_SEED to repeat a run.
 */
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FaultRun, planFaults } from "../helpers/fault-run.js";
import { Random } from "../helpers/random.js";
import { TestServer } from "../helpers/server-process.js";
import { testDrivers } from "../helpers/vm-fixture.js";
import { out, SMALL, WireSandbox } from "../helpers/wire.js";

const ROUNDS = Number(process.env["MSB_FAULT_ROUNDS"] ?? 8);
const SEED = Number(process.env["MSB_FAULT_SEED"] ?? Date.now() % 2 ** 31);
const ROUND_MS = 600_000;
const BUDGET = 4;

describe.each(testDrivers)(`faults under %s (MSB_FAULT_SEED=${SEED})`, (driver) => {
  let run: FaultRun;
  beforeAll(async () => {
    run = await FaultRun.begin(driver);
  }, ROUND_MS);
  afterAll(() => run?.[Symbol.asyncDispose]());

  const plan = planFaults(new Random(SEED), ROUNDS);
  it.each(plan.map((fault, index) => ({ ...fault, number: index + 1 })))(
    "leave nothing behind and lose nothing: $number, $target at $phase of a $subject sandbox",
    async ({ number: _, ...fault }) => {
      await expect(run.round(fault)).resolves.toBeUndefined();
    },
    ROUND_MS,
  );

  it("are over when the server ends: no process and no VM stays", async () => {
    await expect(run.finish()).resolves.toBeUndefined();
  });
});

describe.each(testDrivers)("a server that is asked for too much under %s", (driver) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await TestServer.start({ driver, env: { MSB_MAX_SANDBOXES: `${BUDGET}` } });
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  it(
    "tells who must wait, and serves everybody in the end",
    async () => {
      // The emulated KVM host boots one in the time of ten.
      const count = driver === "qemu" ? 50 : 10;
      let turnedAway = 0;
      let running = 0;
      let most = 0;
      const one = async (index: number): Promise<void> => {
        const box = new WireSandbox(server, `many${index}`);
        for (;;) {
          const { status, headers, body } = await server.rpc("sandbox.start", {
            ...box.key,
            config: SMALL,
          });
          if (status === 200) break;
          expect([status, body]).toEqual([
            429,
            expect.objectContaining({ error: expect.any(String) }),
          ]);
          const seconds = Number(headers.get("retry-after"));
          expect(seconds).toBeGreaterThanOrEqual(1);
          expect(seconds).toBeLessThanOrEqual(120);
          turnedAway += 1;
          // Not all at once again.
          await delay(seconds * 1000 * (1 + (index % 5) / 5));
        }
        most = Math.max(most, ++running);
        expect(await box.sh(`echo ${index}; hostname`)).toEqual(out(`${index}`, `many${index}`));
        running -= 1;
        await box.stop();
      };
      await Promise.all(Array.from({ length: count }, (_, index) => one(index)));
      expect(turnedAway).toBeGreaterThan(0);
      expect(most).toBeLessThanOrEqual(BUDGET);
      expect(await server.home.settled([server.pid])).toEqual([]);
    },
    2 * ROUND_MS,
  );
});
