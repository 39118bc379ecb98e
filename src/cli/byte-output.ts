/** Output that is passed on as it is: bytes, no faster than they are read. */
import { once } from "node:events";
import type { CliContext, OutputStream } from "./context.js";

/** Returns when there is room for more, or the command is being stopped. */
export async function passOn(
  ctx: CliContext,
  stream: OutputStream,
  piece: Uint8Array | string,
): Promise<void> {
  if (stream.write(piece)) return;
  await once(stream, "drain", { signal: ctx.signal }).catch(() => {});
}
