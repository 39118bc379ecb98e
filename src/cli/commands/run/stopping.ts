/** What becomes of a running command when its user or the system wants it to end. */
import { constants } from "node:os";
import type { RunningCommand } from "../../../sandbox/run-once.js";
import { deferred } from "../../../util/async.js";
import { stopExitCode } from "../../error-report.js";

/** How long a command may take to end after Ctrl-C. */
const INTERRUPT_GRACE_MS = 10_000;
const SIGINT_CODE = 128 + constants.signals.SIGINT;

export interface Stopping extends Disposable {
  /** Rejects with the signal's reason when the microVM is to end, whatever the command does. */
  readonly stopped: Promise<never>;
}

/** Passes Ctrl-C on to the command, with everything that it has started, as a terminal would. */
export function untilStopped(
  signal: AbortSignal,
  command: Pick<RunningCommand, "signal">,
  hurry: AbortSignal,
): Stopping {
  const over = deferred<never>();
  over.promise.catch(() => {});
  let grace: NodeJS.Timeout | undefined;
  const end = (): void => over.reject(signal.reason);
  const onStop = (): void => {
    if (stopExitCode(signal) !== SIGINT_CODE || hurry.aborted) return end();
    // The guest's SIGINT has this number on every platform.
    command.signal(2, { scope: "tree" }).catch(end);
    grace = setTimeout(end, INTERRUPT_GRACE_MS);
    hurry.addEventListener("abort", end, { once: true });
  };
  if (signal.aborted) onStop();
  else signal.addEventListener("abort", onStop, { once: true });
  return {
    stopped: over.promise,
    [Symbol.dispose]: () => {
      clearTimeout(grace);
      signal.removeEventListener("abort", onStop);
      hurry.removeEventListener("abort", end);
    },
  };
}
