/** What threads and timers of a kernel write while no code runs, for the next run. */

export interface OutputText {
  readonly type: "stdout" | "stderr";
  readonly text: string;
}

const MAX_KEPT_CHARACTERS = 64 * 1024;

/** The first 64 KiB, in order, with a note of how much more there was. */
export class BetweenRuns {
  #texts: OutputText[] = [];
  #kept = 0;
  #cut = 0;

  add(type: OutputText["type"], text: string): void {
    const part = text.slice(0, MAX_KEPT_CHARACTERS - this.#kept);
    this.#kept += part.length;
    this.#cut += text.length - part.length;
    if (part === "") return;
    const last = this.#texts.at(-1);
    // Many small writes are not many small objects.
    if (last?.type === type) this.#texts[this.#texts.length - 1] = { type, text: last.text + part };
    else this.#texts.push({ type, text: part });
  }

  /** Everything that was kept; it is forgotten here. */
  take(): OutputText[] {
    const texts = this.#texts;
    const last = texts.at(-1);
    if (last !== undefined && this.#cut > 0) {
      const note = `\n[${this.#cut} more characters were written between two runs]\n`;
      texts.push({ type: last.type, text: note });
    }
    this.#texts = [];
    this.#kept = this.#cut = 0;
    return texts;
  }
}
