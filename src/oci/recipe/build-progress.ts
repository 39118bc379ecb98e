/** What mmdebstrap and the apt it runs say on standard error (with --verbose), as progress. */
import { StringDecoder } from "node:string_decoder";
import { printable } from "../../util/printable.js";
import type { OnProgress } from "../../util/progress.js";

/** A line longer than this is cut; apt's are short. */
const MAX_LINE = 4096;
const UNITS: Readonly<Record<string, number>> = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9 };

export class BuildProgress {
  readonly #onProgress: OnProgress;
  readonly #decoder = new StringDecoder("utf8");
  #rest = "";
  #doneBytes = 0;
  #totalBytes = 0;
  #isInstalling = false;

  constructor(onProgress: OnProgress) {
    this.#onProgress = onProgress;
  }

  push(chunk: Buffer): void {
    const lines = (this.#rest + this.#decoder.write(chunk)).split("\n");
    this.#rest = (lines.pop() ?? "").slice(0, MAX_LINE);
    for (const line of lines) this.#line(line.slice(0, MAX_LINE));
  }

  #line(line: string): void {
    const need = /^Need to get (?:[\d.]+ [kMG]?B\/)?([\d.]+) ([kMG]?B) of archives/.exec(line);
    // `Get:` lines before this one are package lists, whose number nobody knows.
    if (need !== null) return this.#need(bytesOf(need[1]!, need[2]!));
    const got = /^Get:\d+ .*\[([\d.]+) ([kMG]?B)\]$/.exec(line);
    if (got !== null && this.#totalBytes > 0) return this.#got(bytesOf(got[1]!, got[2]!));
    if (line === "I: creating tarball...") return this.#installed();
    if (/^(?:Unpacking|Setting up|I: (?:extracting|installing|cleaning)) /.test(line)) {
      this.#note(line);
    }
    return undefined;
  }

  /** Packages come in two rounds: those that mmdebstrap unpacks itself, then the others. */
  #need(bytes: number): void {
    this.#totalBytes += bytes;
    this.#packages("running");
  }

  /** apt gives three digits, so the parts may come to a little more than the whole. */
  #got(bytes: number): void {
    this.#doneBytes = Math.min(this.#totalBytes, this.#doneBytes + bytes);
    this.#packages("running");
  }

  #packages(state: "running" | "done"): void {
    this.#onProgress({
      id: "packages",
      label: "packages",
      state,
      doneBytes: state === "done" ? this.#totalBytes : this.#doneBytes,
      totalBytes: this.#totalBytes,
    });
  }

  #note(line: string): void {
    this.#isInstalling = true;
    const note = printable(line.replace(/^I: /, "").slice(0, 100));
    this.#onProgress({
      id: "install",
      label: "install",
      state: "running",
      doneBytes: 0,
      totalBytes: null,
      note,
    });
  }

  #installed(): void {
    if (this.#totalBytes > 0) this.#packages("done");
    if (!this.#isInstalling) return;
    this.#onProgress({
      id: "install",
      label: "install",
      state: "done",
      doneBytes: 0,
      totalBytes: null,
    });
  }
}

function bytesOf(number: string, unit: string): number {
  return Math.round(Number(number) * (UNITS[unit] ?? 1));
}
