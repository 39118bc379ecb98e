/** A caller's signal together with a time limit of ours, told apart in the error. */
import { MsbError } from "../../errors.js";

export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/** When the time is up first, the signal's reason is MSB_ERR_REGISTRY_UNAVAILABLE; `what` begins its message. */
export function deadline(ms: number, what: string, parent: AbortSignal | undefined): Deadline {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(
      new MsbError(
        "MSB_ERR_REGISTRY_UNAVAILABLE",
        `${what} did not come within ${ms / 1000} s. Try again later, or use a mirror.`,
        { details: { timeoutMs: ms } },
      ),
    );
  }, ms);
  const onAbort = (): void => controller.abort(parent?.reason);
  if (parent?.aborted) onAbort();
  else parent?.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      parent?.removeEventListener("abort", onAbort);
    },
  };
}
