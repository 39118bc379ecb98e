/**
 * Starts that take a guest which runs already against cold starts of a server without such guests, alternating, in one
 * run, both to a sandbox that is ready and to the answer of its first code.
 *
 *   node test/bench/warm.mjs --store DIR [--rounds N] [--json FILE]
 *
 * DIR is what `test/helpers/server-images.ts` prints. On libkrun: QEMU's guests come from templates.
 */
import { EventEmitter, once } from "node:events";
import { parseArgs } from "node:util";
import { end } from "./ends.mjs";
import { makeHome } from "./home.mjs";
import { writeResult } from "./result.mjs";
import { ANSWER_TIMEOUT_MS, NO_BUDGET, startServer } from "./server-fixture.mjs";
import { compareStarts, startWithCode, stopSandbox } from "./starts.mjs";

const { values: args } = parseArgs({
  options: {
    store: { type: "string" },
    rounds: { type: "string", default: "5" },
    json: { type: "string" },
  },
});
const WHAT = { language: "python", memoryMiB: 256 };

try {
  const cold = await startServer(makeHome(args.store), "libkrun", {
    env: { ...NO_BUDGET, MSB_WARM_GUESTS: "0" },
  });
  const pool = followPool();
  const quick = await startServer(makeHome(args.store), "libkrun", {
    env: { ...NO_BUDGET, MSB_WARM_GUESTS: "1" },
    onLine: pool.onLine,
  });
  // The server makes guests of the kinds that it has started.
  await startWithCode(quick, "first", WHAT);
  await stopSandbox(quick, "first");
  const starts = await compareStarts({ cold, quick }, Number(args.rounds), {
    ...WHAT,
    ready: pool.take,
  });
  const result = {
    rounds: Number(args.rounds),
    [WHAT.language]: starts,
  };
  writeResult(result, args.json);
} finally {
  await end();
}

/** What a server's log says of its guests: `take` resolves when there is one that no start has had. */
function followPool() {
  const told = [];
  const heard = new EventEmitter();
  const onLine = (line) => {
    const isReady = line.includes("A guest is ready ahead");
    if (!isReady && !/No guest could be made ready|could not be used/.test(line)) return;
    told.push({ isReady, line });
    heard.emit("told");
  };
  const take = async () => {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    if (told.length === 0) await once(heard, "told", { signal });
    const { isReady, line } = told.shift();
    if (!isReady) throw new Error(line);
  };
  return { onLine, take };
}
