/** Work that is under way, for whoever must not end before it. */
export class WorkSet {
  readonly #running = new Set<Promise<void>>();

  add<T>(work: Promise<T>): Promise<T> {
    const ended: Promise<void> = work
      .then(
        () => {},
        () => {},
      )
      .then(() => void this.#running.delete(ended));
    this.#running.add(ended);
    return work;
  }

  /** Waits for all that was added until now, however it ends. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }
}
