/** Starts of sandboxes on servers, to ready and to the answer of the first code. */
import { rpc } from "./server-fixture.mjs";
import { ratio, spread } from "./samples.mjs";

/** Images of `test/helpers/server-images.ts`. */
export const IMAGES = { python: "msb-ts/python:latest", node: "msb-ts/node:latest" };

export function startSandbox(server, name, { language, memoryMiB }) {
  const config = { image: IMAGES[language], memory: memoryMiB, cpus: 1 };
  return rpc(server, "sandbox.start", name, { config });
}

export function runFirstCode(server, name, { language }) {
  return rpc(server, "sandbox.repl.run", name, { language, code: "1" });
}

export function stopSandbox(server, name) {
  return rpc(server, "sandbox.stop", name);
}

/** Milliseconds. */
export async function startWithCode(server, name, what) {
  const begin = performance.now();
  await startSandbox(server, name, what);
  const readyMs = performance.now() - begin;
  await runFirstCode(server, name, what);
  const firstCodeMs = performance.now() - begin;
  // In the emulated KVM host each takes long, and nothing else is heard of it.
  console.error(`${name}: ready ${readyMs.toFixed(0)} ms, code ${firstCodeMs.toFixed(0)} ms`);
  return { readyMs, firstCodeMs };
}

/**
 * Starts on a `cold` server and on a `quick` one, which has started its first sandbox already, in turn. Each turn begins
 * with `ready`, when the quick one makes nothing any more; `whileIdle` is told which server has an idle sandbox.
 */
export async function compareStarts({ cold, quick }, rounds, { ready, whileIdle, ...what }) {
  const samples = { cold: [], quick: [] };
  const first = `${what.language}-first`;
  await startWithCode(cold, first, what);
  await stopSandbox(cold, first);
  for (let n = 0; n < rounds; n += 1) {
    await ready?.();
    for (const [kind, server] of Object.entries({ cold, quick })) {
      const name = `${what.language}-${kind}-${n}`;
      samples[kind].push(await startWithCode(server, name, what));
      await whileIdle?.(kind, server);
      await stopSandbox(server, name);
    }
  }
  return {
    ready: compared(samples, "readyMs"),
    firstCode: compared(samples, "firstCodeMs"),
  };
}

function compared(samples, key) {
  const of = (kind) => spread(samples[kind].map((sample) => sample[key]));
  const [coldMs, quickMs] = [of("cold"), of("quick")];
  return { coldMs, quickMs, ratio: ratio(quickMs, coldMs) };
}
