/** Server-sent events of an answer, one after the other. */
import { createParser } from "eventsource-parser";

export interface ServerEvent {
  readonly event: string | undefined;
  readonly data: string;
}

/** An event is larger than the limit. */
export class EventTooLarge extends Error {}

/** One reader at a time. What the network says is thrown as it is. */
export class EventStream {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  readonly #ready: ServerEvent[] = [];
  readonly #feed: (text: string) => void;

  constructor(body: ReadableStream<Uint8Array>, { maxChars }: { readonly maxChars: number }) {
    this.#reader = body.getReader();
    const parser = createParser({
      maxBufferSize: maxChars,
      onEvent: ({ event, data }) => this.#ready.push({ event, data }),
      onError: ({ type }) => {
        if (type === "max-buffer-size-exceeded") throw new EventTooLarge();
      },
    });
    this.#feed = (text) => parser.feed(text);
  }

  /** Null at the end. */
  async next(): Promise<ServerEvent | null> {
    for (;;) {
      const event = this.#ready.shift();
      if (event !== undefined) return event;
      const { done, value } = await this.#reader.read();
      if (done) return null;
      this.#feed(this.#decoder.decode(value, { stream: true }));
    }
  }

  /** Lets go of the connection; a `next` under way ends. */
  close(): void {
    void this.#reader.cancel().catch(() => {});
  }
}
