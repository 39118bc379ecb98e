/** What happened to one sandbox, numbered over restarts of the server. */
import { printable } from "../util/printable.js";
import { CappedLog, type CappedLogOpts } from "./capped-log.js";
import type { SandboxEvent } from "./service.js";

/** One event with a long console tail is much shorter. */
const MAX_MESSAGE_LENGTH = 64 * 1024;

export class EventLog {
  readonly #log: CappedLog;
  /** Known when the file has been read, at the first event. */
  #lastSeq: number | undefined;
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
    this.#lastSeq ??= parseEvents(await this.#log.read()).at(-1)?.seq ?? 0;
    const message = printable(event.message.slice(0, MAX_MESSAGE_LENGTH));
    const numbered = { seq: ++this.#lastSeq, ...event, message };
    await this.#log.append(Buffer.from(`${JSON.stringify(numbered)}\n`));
    return numbered;
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
