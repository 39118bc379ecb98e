/** A stream of records whose last one did not come. */
import { MsbError } from "../errors.js";

/** `what` is what the records are of: `command`, `code`. */
export function brokenOff(what: string): MsbError {
  return new MsbError(
    "MSB_ERR_SERVER_FAILED",
    `The server's answer ended before the ${what} had ended. See its log: msb-ts server logs.`,
  );
}
