/** What many measurements of one thing come to. */

/** Milliseconds. */
export async function timed(work) {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

/**
 * `count` calls of each of `works` in turn, so that what else the machine does meets all of them; after `warmUp` calls
 * that do not count. Milliseconds under the names of `works`.
 */
export async function inTurn(works, count, warmUp = 0) {
  const samples = Object.fromEntries(Object.keys(works).map((name) => [name, []]));
  for (let i = -warmUp; i < count; i += 1) {
    for (const [name, work] of Object.entries(works)) {
      const ms = await timed(work);
      if (i >= 0) samples[name].push(ms);
    }
  }
  return samples;
}

/** Between two samples it lies on the line from one to the other. */
export function percentile(samples, share) {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at - Math.floor(at));
}

/** On a busy machine the tenth percentile is what the work takes. */
export function spread(samples) {
  const at = (share) => round(percentile(samples, share));
  return { p10: at(0.1), p50: at(0.5), p95: at(0.95) };
}

/** The spread of each list of an object. */
export function spreads(lists) {
  return Object.fromEntries(Object.entries(lists).map(([name, list]) => [name, spread(list)]));
}

/** Of the medians of two spreads. */
export function ratio(ours, floor) {
  return round(ours.p50 / floor.p50);
}

export function round(value) {
  return Math.round(value * 1000) / 1000;
}
