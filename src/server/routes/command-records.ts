/** What a command does as records, its output as text or as it is. */
import { TextDecoder } from "node:util";
import type { CommandBody, CommandRecord } from "../../api/commands.js";
import type { CommandEvent } from "../../sandbox/service.js";
import type { StreamRecord } from "../streams/format.js";

type OutputEvent = Exclude<CommandEvent, { readonly type: "end" }>;
type Encoding = NonNullable<CommandBody["encoding"]>;

export async function* commandRecords(
  events: AsyncIterable<CommandEvent>,
  encoding: Encoding,
): AsyncGenerator<StreamRecord> {
  const texts = new OutputTexts();
  for await (const event of events) {
    if (event.type === "end") {
      for (const rest of texts.end()) yield record(rest);
      yield record(event);
    } else if (encoding === "base64") {
      yield record({ type: event.type, base64: base64(event.data) });
    } else {
      const piece = texts.piece(event);
      if (piece !== null) yield record(piece);
    }
  }
}

/** A piece may end within a character, whose rest then begins the next one of the same stream. */
class OutputTexts {
  readonly #decoders = {
    stdout: new TextDecoder("utf-8", { ignoreBOM: true }),
    stderr: new TextDecoder("utf-8", { ignoreBOM: true }),
  };

  /** null while there is no whole character. */
  piece({ type, data }: OutputEvent): CommandRecord | null {
    const text = this.#decoders[type].decode(data, { stream: true });
    return text === "" ? null : { type, text };
  }

  /** What was cut off within a character. */
  end(): CommandRecord[] {
    return (["stdout", "stderr"] as const)
      .map((type) => ({ type, text: this.#decoders[type].decode() }))
      .filter(({ text }) => text !== "");
  }
}

function base64({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("base64");
}

function record(data: CommandRecord): StreamRecord {
  return { event: data.type, data };
}
