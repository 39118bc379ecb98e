/** Pictures among the results of code: kept as files of a folder, or counted. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunRecord } from "../api/code.js";
import { messageOf, MsbError } from "../errors.js";
import { count } from "./format.js";

export type ResultView = Extract<RunRecord, { type: "result" }>["result"];

/** The first of a result that is there counts. */
const FORMS = [
  ["png", "base64"],
  ["jpeg", "base64"],
  ["svg", "utf8"],
] as const;

export class Pictures {
  readonly #folder: string | undefined;
  #number = 0;
  #skipped = 0;

  /** undefined: they are not kept. */
  constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  /** The path of the file; null for a result without a picture, or without a folder. */
  async keep(result: ResultView): Promise<string | null> {
    const form = FORMS.find(([name]) => result[name] !== undefined);
    if (form === undefined) return null;
    if (this.#folder === undefined) {
      this.#skipped++;
      return null;
    }
    const [ending, encoding] = form;
    return this.#write(this.#folder, ending, Buffer.from(result[ending]!, encoding));
  }

  /** What became of those that were not kept; null when there is nothing to say. Counts anew. */
  skippedNote(): string | null {
    if (this.#skipped === 0) return null;
    const what = count(this.#skipped, "picture");
    this.#skipped = 0;
    return `${what} not shown: --save-dir DIR keeps them as files.`;
  }

  /** Under the next number that is free: no file is written over. */
  async #write(folder: string, ending: string, content: Buffer): Promise<string> {
    for (;;) {
      const path = join(folder, `picture-${++this.#number}.${ending}`);
      try {
        await mkdir(folder, { recursive: true });
        await writeFile(path, content, { flag: "wx" });
        return path;
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === "EEXIST" && this.#number < 1e6) continue;
        throw new MsbError(
          "MSB_ERR_FILE_FAILED",
          `The picture ${path} cannot be written: ${messageOf(cause)}. Give another --save-dir.`,
          { cause, details: { path } },
        );
      }
    }
  }
}
