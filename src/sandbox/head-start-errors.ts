/** Why nothing can be made ready ahead: the one place that words it. */
import { MsbError } from "../errors.js";
import { RETRY_AFTER_SECONDS } from "./sandbox-errors.js";

export function templatesOff(): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_STATE",
    "This server keeps no templates: it was started with --max-templates 0 (MSB_MAX_TEMPLATES). Start it with 1 or more.",
    { details: { option: "maxTemplates" } },
  );
}

/** For a hypervisor that cannot keep guests, on a server that has none run ahead. */
export function cannotKeep(): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_STATE",
    "The hypervisor of this server cannot keep a guest as a template (QEMU without KVM can, on Linux), and no guests " +
      "run ahead here. Start the server with --warm-guests 1 or more (MSB_WARM_GUESTS).",
    { details: { option: "warmGuests" } },
  );
}

/** `advice` completes the message. */
export function noMemory(what: string, memoryMiB: number, advice: string): MsbError {
  return new MsbError(
    "MSB_ERR_TOO_MANY_SANDBOXES",
    `There is no room for ${what} of ${memoryMiB} MiB: ${advice}. Ask for less with memoryMiB, or stop sandboxes.`,
    { details: { wanted: memoryMiB, retryAfterSeconds: RETRY_AFTER_SECONDS } },
  );
}
