/** What was acquired is given back in reverse order, all of it, even when some of it cannot be. */

export class CleanUp {
  readonly #steps: (() => Promise<void>)[] = [];
  #running: Promise<void> | undefined;

  /** `step` runs once, before those that were added earlier. */
  add(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  /** Throws the first error after the last step. Idempotent: later calls share the first one's end. */
  run(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    const errors: unknown[] = [];
    for (const step of this.#steps.splice(0).toReversed()) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
