/** What happened to one sandbox, numbered over restarts of the server. */
import { printable } from "../util/printable.js";
import { CappedLog, type CappedLogOpts } from "./capped-log.js";
import type { SandboxEvent } from "./service.js";

/** One event with a long console tail is much shorter. */
const MAX_MESSAGE_LENGTH = 64 * 1024;

export class EventLog {
  readonly #log: CappedLog;
  /** 0: the file has not been read yet. */
  #nextSeq = 0;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(path: string, opts: CappedLogOpts = {}) {
    this.#log = new CappedLog(path, opts);
  }

  /** The event as it is kept, once it has its number; calls keep their order. */
  add(event: Omit<SandboxEvent, "seq">): Promise<SandboxEvent> {
    const added = this.#tail.then(() => this.#add(event));
    this.#tail = added;
    return added;
  }

  /** What is kept, oldest first, and from then on each event. */
  async follow(
    onEvent: (event: SandboxEvent) => void,
  ): Promise<{ kept: readonly SandboxEvent[]; stop: () => void }> {
    const { kept, stop } = await this.#log.follow((line) => parseEvents(line).forEach(onEvent));
    return { kept: parseEvents(kept), stop };
  }

  async flush(): Promise<void> {
    await this.#tail;
    await this.#log.flush();
  }

  async #add(event: Omit<SandboxEvent, "seq">): Promise<SandboxEvent> {
    const beginning = this.#nextSeq === 0 ? await this.#begin() : "";
    const message = printable(event.message.slice(0, MAX_MESSAGE_LENGTH));
    const numbered = { seq: this.#nextSeq++, ...event, message };
    await this.#log.append(Buffer.from(`${beginning}${JSON.stringify(numbered)}\n`));
    return numbered;
  }

  /** Goes on where the file ends; a line that a crash cut short is ended first. */
  async #begin(): Promise<string> {
    const kept = await this.#log.read();
    this.#nextSeq = (parseEvents(kept).at(-1)?.seq ?? 0) + 1;
    return kept.length > 0 && kept.at(-1) !== 0x0a ? "\n" : "";
  }
}

/** Lines that are no event, such as one that a crash cut short, are left out. */
function parseEvents(bytes: Buffer): SandboxEvent[] {
  return bytes
    .toString("utf8")
    .split("\n")
    .flatMap((line) => {
      try {
        const value = JSON.parse(line) as Partial<SandboxEvent> | null;
        return isEvent(value) ? [value] : [];
      } catch {
        return [];
      }
    });
}

function isEvent(value: Partial<SandboxEvent> | null): value is SandboxEvent {
  return (
    Number.isSafeInteger(value?.seq) &&
    typeof value?.at === "string" &&
    typeof value.type === "string" &&
    typeof value.message === "string"
  );
}
