import { expect, test } from "vitest";
import { MsbError } from "../../../src/errors.js";
import { StartFlights } from "../../../src/sandbox/start-flights.js";
import { deferred } from "../../../src/util/async.js";

const OPTS = { what: "The start" };

test("who starts after a start was called off begins anew", async () => {
  const flights = new StartFlights<number>();
  const first = flights.run("k", OPTS, ({ signal }) => {
    const aborted = deferred<never>();
    signal.addEventListener("abort", () => aborted.reject(signal.reason));
    return aborted.promise;
  });
  const outcome = first.catch((error: unknown) => error);
  await Promise.resolve();
  const why = new MsbError("MSB_ERR_ABORTED", "stop");
  flights.callOff("k", why);
  flights.callOff("k", why);
  expect(await flights.run("k", OPTS, async () => 2)).toBe(2);
  expect(await outcome).toBe(why);
});

test("a start that nobody waits for is aborted, but not called off", async () => {
  const flights = new StartFlights<void>();
  const abort = new AbortController();
  const ended = deferred<boolean[]>();
  const run = flights.run("k", { ...OPTS, signal: abort.signal }, async ({ signal, calledOff }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    ended.resolve([signal.aborted, calledOff.aborted]);
  });
  await Promise.resolve();
  abort.abort();
  await expect(run).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  expect(await ended.promise).toEqual([true, false]);
  await flights.settled();
});
