/** The records of a command: passed on as they come, or put together. */
import { MsbError } from "../../../errors.js";
import type { CommandRecordView } from "../../../sdk/client.js";
import { brokenOff } from "../../broken-off.js";
import { passOn } from "../../byte-output.js";
import type { CommandEnd } from "../../command-exit.js";
import type { CliContext } from "../../context.js";

/** Of one document: a program that writes for ever must not fill memory. */
const MAX_COLLECTED_BYTES = 64 * 1024 * 1024;

export interface CollectedCommand {
  readonly stdout: string;
  readonly stderr: string;
  readonly end: CommandEnd;
}

/** Gives the last record. */
export async function streamCommand(
  ctx: CliContext,
  records: AsyncIterable<CommandRecordView>,
): Promise<CommandEnd> {
  for await (const record of records) {
    if (record.type === "end") return record;
    await passOn(ctx, ctx[record.type], bytesOf(record));
  }
  throw brokenOff("command");
}

/** What is no UTF-8 becomes U+FFFD. Throws MSB_ERR_OUTPUT_LIMIT for more than 64 MiB. */
export async function collectCommand(
  records: AsyncIterable<CommandRecordView>,
): Promise<CollectedCommand> {
  const pieces = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  let length = 0;
  for await (const record of records) {
    if (record.type === "end") {
      const text = (list: readonly Uint8Array[]): string => Buffer.concat(list).toString();
      return { stdout: text(pieces.stdout), stderr: text(pieces.stderr), end: record };
    }
    const bytes = bytesOf(record);
    length += bytes.length;
    if (length > MAX_COLLECTED_BYTES) throw tooMuch();
    pieces[record.type].push(bytes);
  }
  throw brokenOff("command");
}

function bytesOf(record: Exclude<CommandRecordView, { type: "end" }>): Buffer {
  return "base64" in record ? Buffer.from(record.base64, "base64") : Buffer.from(record.text);
}

function tooMuch(): MsbError {
  return new MsbError(
    "MSB_ERR_OUTPUT_LIMIT",
    `The command wrote more than the ${MAX_COLLECTED_BYTES} bytes that --json puts into one document, and was ` +
      "killed. Run it without --json, or let it write to a file.",
    { details: { maxOutputBytes: MAX_COLLECTED_BYTES } },
  );
}
