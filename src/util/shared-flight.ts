/** Work that several callers want at the same time, done once for all of them. */
import { abortable, deferred, throwIfAborted } from "./async.js";
import type { OnProgress, Progress } from "./progress.js";

export interface FlightOpts {
  /** Begins the message of MSB_ERR_ABORTED. */
  readonly what: string;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Flight<T> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  readonly listeners: Set<OnProgress>;
  /** What each task said last, for those who come later. */
  readonly latest: Map<string, Progress>;
  callers: number;
}

export class SharedFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();
  /** Those that nobody waits for. */
  readonly #ending = new Set<Promise<unknown>>();

  /**
   * What `work` gives, of this caller or of the one who came first with the same key. A caller whose signal aborts
   * gets MSB_ERR_ABORTED at once and leaves the others alone; when the last has gone the work is aborted, and who
   * comes then begins anew.
   */
  async run(
    key: string,
    opts: FlightOpts,
    work: (signal: AbortSignal, onProgress: OnProgress) => Promise<T>,
  ): Promise<T> {
    throwIfAborted(opts.signal, opts.what);
    const flight = this.#flights.get(key) ?? this.#start(key, work);
    flight.callers++;
    const { onProgress } = opts;
    // A listener of its own for each caller, even if two give the same function.
    const listener: OnProgress = (progress) => onProgress?.(progress);
    for (const progress of flight.latest.values()) listener(progress);
    flight.listeners.add(listener);
    try {
      return await abortable(flight.result, opts.signal, opts.what);
    } finally {
      flight.listeners.delete(listener);
      if (--flight.callers === 0) this.#leave(key, flight);
    }
  }

  #start(key: string, work: Parameters<SharedFlight<T>["run"]>[2]): Flight<T> {
    const stop = new AbortController();
    const listeners = new Set<OnProgress>();
    const latest = new Map<string, Progress>();
    const onProgress: OnProgress = (progress) => {
      latest.set(progress.id, progress);
      for (const listener of listeners) listener(progress);
    };
    const began = deferred<void>();
    // Not before the first caller listens.
    const result = began.promise.then(() => work(stop.signal, onProgress));
    const flight: Flight<T> = { result, stop, listeners, latest, callers: 0 };
    this.#flights.set(key, flight);
    began.resolve();
    return flight;
  }

  /** Waits until all work that was aborted has ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#ending);
  }

  /** Nobody waits any more: it has ended, or it is to end. */
  #leave(key: string, flight: Flight<T>): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
    flight.stop.abort();
    const ended = flight.result.then(
      () => {},
      () => {},
    );
    this.#ending.add(ended);
    void ended.then(() => this.#ending.delete(ended));
  }
}
