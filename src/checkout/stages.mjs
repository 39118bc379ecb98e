/** The stages of a run, told one after the other: what each is, how it went, how long it took. */

export class Stages {
  #done = [];
  #begin = Date.now();

  constructor(count) {
    this.count = count;
  }

  /** Runs one; it gives in a few words what it did. */
  async run(title, work) {
    console.log(`[${this.#done.length + 1}/${this.count}] ${title}`);
    const begin = Date.now();
    try {
      const outcome = await work();
      const seconds = secondsSince(begin);
      this.#done.push({ title, outcome, seconds });
      console.log(`      ${outcome} (${seconds} s)`);
    } catch (error) {
      throw new Error(`${title}: ${error.message}`, { cause: error });
    }
  }

  summary() {
    const width = Math.max(...this.#done.map(({ title }) => title.length));
    const lines = this.#done.map(
      ({ title, outcome, seconds }) =>
        `  ${title.padEnd(width)}  ${seconds.padStart(7)} s  ${outcome}`,
    );
    return [...lines, `  ${"all".padEnd(width)}  ${secondsSince(this.#begin).padStart(7)} s`].join(
      "\n",
    );
  }
}

function secondsSince(begin) {
  return ((Date.now() - begin) / 1000).toFixed(1);
}
