/**
 * What the guest wrote to its console, kept beyond its VM. A VM that is taken over tells its last bytes again, so they
 * are compared with what is kept; a guest that floods its console is looked at now and then, and not for every byte.
 */
import type { MicroVm } from "../hypervisor/driver.js";
import { printable } from "../util/printable.js";
import type { Clock } from "../util/clock.js";
import { CappedLog, type CappedLogOpts } from "./capped-log.js";

/** What a VM keeps; of more than that between two looks the beginning is lost, and the log says so. */
const TAIL_CHARS = 64 * 1024;
/** So much of the beginning of what is seen now is looked for in what was seen before. */
const PROBE_CHARS = 256;
/** Its very first characters may be the rest of one that was cut. */
const CUT_CHARS = 4;
/** Text that repeats itself fits at many places; a guest must not keep the host comparing. */
const MAX_TRIES = 64;
/** From the first new byte to the look that takes it, with all that came by then. */
const LOOK_MS = 100;
const GAP = "\n[some output of the console was lost here]\n";

/** What `now` has that `before` had not, both being the ends of one endless text. */
export function newText(before: string, now: string): string {
  if (now.startsWith(before)) return now.slice(before.length);
  const probe = now.slice(CUT_CHARS, CUT_CHARS + PROBE_CHARS);
  let at = probe === "" ? -1 : before.indexOf(probe);
  for (let tries = 0; at !== -1 && tries < MAX_TRIES; tries++) {
    const seen = before.slice(at);
    if (now.startsWith(seen, CUT_CHARS)) return now.slice(CUT_CHARS + seen.length);
    at = before.indexOf(probe, at + 1);
  }
  return now === "" ? "" : GAP + now;
}

export class ConsoleLog {
  readonly #log: CappedLog;
  #seen = "";

  constructor(path: string, opts: CappedLogOpts = {}) {
    this.#log = new CappedLog(path, opts);
  }

  /** Takes what is new, until the function that this gives is called: that takes the last of it. */
  watch(vm: Pick<MicroVm, "consoleTail" | "onConsole">, clock: Clock): () => Promise<void> {
    let callOff: (() => void) | undefined;
    const look = (): Promise<void> => {
      callOff?.();
      callOff = undefined;
      return this.#take(vm.consoleTail());
    };
    const stop = vm.onConsole(() => (callOff ??= clock.after(LOOK_MS, () => void look())));
    void look();
    return async () => {
      stop();
      await look();
      await this.#log.flush();
    };
  }

  /** A VM that begins has said nothing yet. */
  begin(): void {
    this.#seen = "";
  }

  /** A VM that an earlier server watched: what is in the file is not taken twice. */
  async resume(): Promise<void> {
    this.#seen = (await this.#log.read()).toString("utf8").slice(-TAIL_CHARS);
  }

  /** What is kept, and from then on what comes; safe to print. */
  async follow(onText: (text: string) => void): Promise<{ kept: string; stop: () => void }> {
    const show = (bytes: Buffer): string => printable(bytes.toString("utf8"));
    const { kept, stop } = await this.#log.follow((bytes) => onText(show(bytes)));
    return { kept: show(kept), stop };
  }

  async flush(): Promise<void> {
    await this.#log.flush();
  }

  #take(now: string): Promise<void> {
    // A VM that was taken over begins with what it has said before, piece by piece.
    if (this.#seen.includes(now)) return Promise.resolve();
    const text = newText(this.#seen, now);
    this.#seen = now;
    return text === "" ? Promise.resolve() : this.#log.append(Buffer.from(text));
  }
}
