/** Runs in microVMs of this process, made of the real parts: heavy to load. */
import { bootTimeoutMs } from "../config.js";
import { openHypervisor } from "../hypervisor/open.js";
import { type OneRun, runOnce, type RunOnceRequest } from "../sandbox/run-once.js";
import type { LocalRunOpts } from "./context.js";
import { fetchProgress } from "./progress/fetches.js";

/** Throws as `runOnce`. */
export async function localRun(request: RunOnceRequest, opts: LocalRunOpts): Promise<OneRun> {
  const { env, hypervisor, onFallback, onProgress, signal, ...rest } = opts;
  const hypervisorOpts = {
    env,
    signal,
    ...(hypervisor === undefined ? {} : { hypervisor }),
    ...(onFallback === undefined ? {} : { onFallback }),
    ...(onProgress === undefined ? {} : { onProgress: fetchProgress(onProgress) }),
  };
  return runOnce(request, {
    ...rest,
    bootTimeoutMs: bootTimeoutMs({}, env),
    signal,
    openHypervisor: () => openHypervisor(hypervisorOpts),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
}
