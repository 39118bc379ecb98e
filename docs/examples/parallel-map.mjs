// @ts-check
/**
 * Maps a function over ten inputs, each in a sandbox of its own. As many run at a time as this machine has cores, so
 * that a small one is not asked for more than it has.
 *
 *   msb-ts server start --dev              in another terminal
 *   node docs/examples/parallel-map.mjs
 */
import { availableParallelism } from "node:os";
import { PythonSandbox } from "msb-ts";

const RANGE = 2000;
const begins = Array.from({ length: 10 }, (_, index) => index * RANGE);

const counts = await mapParallel(begins, availableParallelism(), countPrimes);
for (const [index, begin] of begins.entries()) {
  console.log(`primes from ${begin} to ${begin + RANGE - 1}: ${counts[index]}`);
}
console.log(
  "all:",
  counts.reduce((sum, count) => sum + count, 0),
);

/** @param {number} begin */
async function countPrimes(begin) {
  // The server ends it should this program not live to do so.
  const sandbox = await PythonSandbox.create({ memory: 256, maxLifetime: 600 });
  try {
    const execution = await sandbox.run(
      `sum(n > 1 and all(n % d for d in range(2, int(n ** 0.5) + 1)) for n in range(${begin}, ${begin + RANGE}))`,
      { timeout: 120 },
    );
    if (execution.hasError()) throw new Error(await execution.error());
    return Number(execution.text);
  } finally {
    await sandbox.stop();
  }
}

/**
 * Results in the order of the inputs. After a failure nothing new is begun, and what runs comes to its end.
 *
 * @template Input, Output
 * @param {readonly Input[]} inputs
 * @param {number} limit how many at a time
 * @param {(input: Input) => Promise<Output>} work
 * @returns {Promise<Output[]>}
 */
async function mapParallel(inputs, limit, work) {
  /** @type {Output[]} */
  const outputs = [];
  const rest = inputs.entries();
  const failures = /** @type {unknown[]} */ ([]);
  const worker = async () => {
    for (const [index, input] of rest) {
      if (failures.length > 0) return;
      try {
        outputs[index] = await work(input);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, worker));
  if (failures.length > 0) throw failures[0];
  return outputs;
}
