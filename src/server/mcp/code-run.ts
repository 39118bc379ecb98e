/** One run of code, for callers that get everything at its end. */
import type { ImageContent } from "@modelcontextprotocol/sdk/types.js";
import { MsbError } from "../../errors.js";
import type { Language, RichResult, RunEvent } from "../../kernel/run-types.js";
import { invalidParams } from "./rpc-error.js";

const LANGUAGE_NAMES: ReadonlyMap<string, Language> = new Map([
  ["python", "python"],
  ["node", "node"],
  ["nodejs", "node"],
  ["javascript", "node"],
]);

/** In any case of letters. Throws an RpcError for one that is not known. */
export function codeLanguage(name: string): Language {
  const language = LANGUAGE_NAMES.get(name.toLowerCase());
  if (language !== undefined) return language;
  const known = [...LANGUAGE_NAMES.keys()].join(", ");
  throw invalidParams(`The language ${JSON.stringify(name)} is not known; use one of ${known}`);
}

/**
 * All events of a run. Throws MSB_ERR_OUTPUT_LIMIT when they would be more than `maxBytes`; the code is interrupted
 * then, because nobody reads on.
 */
export async function collectRun(
  run: AsyncIterable<RunEvent>,
  maxBytes: number,
): Promise<readonly RunEvent[]> {
  const events: RunEvent[] = [];
  let sizeBytes = 0;
  for await (const event of run) {
    sizeBytes += sizeOf(event);
    if (sizeBytes > maxBytes) {
      throw new MsbError(
        "MSB_ERR_OUTPUT_LIMIT",
        `The code was interrupted: its output has more than ${maxBytes} bytes. Print less, or write to a file.`,
        { details: { maxBytes } },
      );
    }
    events.push(event);
  }
  return events;
}

function sizeOf(event: RunEvent): number {
  if (event.type === "stdout" || event.type === "stderr") return Buffer.byteLength(event.text);
  return Buffer.byteLength(JSON.stringify(event));
}

/** The pictures that the code showed, each in one form. */
export function imagesOf(events: readonly RunEvent[]): ImageContent[] {
  return events.flatMap((event) => (event.type === "result" ? imageOf(event.result) : []));
}

function imageOf({ png, jpeg }: RichResult): ImageContent[] {
  if (png !== undefined) return [{ type: "image", mimeType: "image/png", data: png }];
  if (jpeg !== undefined) return [{ type: "image", mimeType: "image/jpeg", data: jpeg }];
  return [];
}
