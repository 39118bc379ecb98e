/** Starts that several callers want at the same time, each one start; and what calls one off. */
import type { MsbError } from "../errors.js";
import { LinkedAbort } from "../util/linked-abort.js";
import type { OnProgress } from "../util/progress.js";
import { type FlightOpts, SharedFlight } from "../util/shared-flight.js";

export interface StartFlight {
  /** Aborts when the start is called off, or when nobody waits for it any more. */
  readonly signal: AbortSignal;
  /** Aborts only when it is called off. */
  readonly calledOff: AbortSignal;
  readonly onProgress: OnProgress;
}

interface Joinable {
  readonly id: number;
  readonly stop: AbortController;
  callers: number;
}

export class StartFlights<T> {
  readonly #flights = new SharedFlight<T>();
  /** Those that a caller who comes now would share. */
  readonly #joinable = new Map<string, Joinable>();
  #lastId = 0;

  /** As SharedFlight.run, but never the flight of a start that was called off. */
  async run(key: string, opts: FlightOpts, work: (flight: StartFlight) => Promise<T>): Promise<T> {
    const flight = this.#joinable.get(key) ?? {
      id: ++this.#lastId,
      stop: new AbortController(),
      callers: 0,
    };
    this.#joinable.set(key, flight);
    flight.callers++;
    try {
      return await this.#flights.run(`${key}\n${flight.id}`, opts, async (signal, onProgress) => {
        using either = new LinkedAbort(signal, flight.stop.signal);
        return await work({ signal: either.signal, calledOff: flight.stop.signal, onProgress });
      });
    } finally {
      if (--flight.callers === 0) this.#forget(key, flight);
    }
  }

  /** Who starts the same after this call begins anew. */
  callOff(key: string, error: MsbError): void {
    const flight = this.#joinable.get(key);
    if (flight === undefined) return;
    this.#forget(key, flight);
    flight.stop.abort(error);
  }

  callOffAll(error: MsbError): void {
    for (const key of [...this.#joinable.keys()]) this.callOff(key, error);
  }

  async settled(): Promise<void> {
    await this.#flights.settled();
  }

  #forget(key: string, flight: Joinable): void {
    if (this.#joinable.get(key) === flight) this.#joinable.delete(key);
  }
}
