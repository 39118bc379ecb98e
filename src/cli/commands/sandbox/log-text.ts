/** Entries of a sandbox's log as people read them; all of it is safe to print. */
import type { LogEntryView } from "../../../api/logs.js";
import { printable } from "../../../util/printable.js";
import { oneLine } from "../../format.js";

const TYPE_WIDTH = 10;

export class LogText {
  #isLineOpen = false;
  /** What the next piece of the console may belong to. */
  #heldBack = "";

  /** Events are lines of their own, the console comes in pieces of any length. */
  of(entry: LogEntryView): string {
    if (entry.source === "console") return this.#console(entry.text);
    const { at, type, message } = entry.event;
    const line = `${oneLine(at, 40)}  ${oneLine(type, 40).padEnd(TYPE_WIDTH)}  ${printable(message).trimEnd()}`;
    return `${this.end()}${line}\n`;
  }

  /** What ends an open line. */
  end(): string {
    this.#heldBack = "";
    if (!this.#isLineOpen) return "";
    this.#isLineOpen = false;
    return "\n";
  }

  #console(piece: string): string {
    const text = this.#heldBack + piece;
    // Half of a line's end: alone it would be made visible.
    this.#heldBack = text.endsWith("\r") ? "\r" : "";
    const shown = printable(this.#heldBack === "" ? text : text.slice(0, -1));
    if (shown !== "") this.#isLineOpen = !shown.endsWith("\n");
    return shown;
  }
}
