/** Standard input, read to its end. */
import { MsbError } from "../errors.js";
import { abortable } from "../util/async.js";
import type { CliContext } from "./context.js";

/** Throws MSB_ERR_REQUEST_TOO_LARGE for more than `maxBytes`; `advice` ends its message. */
export async function readStdin(
  ctx: CliContext,
  maxBytes: number,
  advice: string,
): Promise<Buffer> {
  const { stdin } = ctx;
  const read = async (): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of stdin) {
      const bytes = Buffer.from(chunk as Uint8Array | string);
      length += bytes.length;
      if (length > maxBytes) throw tooLarge(maxBytes, advice);
      chunks.push(bytes);
    }
    return Buffer.concat(chunks);
  };
  return abortable(read(), ctx.signal, "Reading standard input");
}

function tooLarge(maxBytes: number, advice: string): MsbError {
  return new MsbError(
    "MSB_ERR_REQUEST_TOO_LARGE",
    `Standard input has more than the ${maxBytes} bytes that one request may carry. ${advice}`,
    { details: { maxBytes } },
  );
}
