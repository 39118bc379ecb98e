/** Errors about what is in a layer. */
import { MsbError } from "../../errors.js";
import { printable } from "../../util/printable.js";
import type { LayerLimits } from "./limits.js";

/** The layer's `format` (tar, gzip, zstd) is broken. */
export function damaged(format: string, cause: unknown): MsbError {
  const why = cause instanceof Error ? `: ${printable(cause.message.slice(0, 200))}` : "";
  return new MsbError(
    "MSB_ERR_IMAGE_INVALID",
    `A layer's ${format} stream is damaged or ends too early${why}. ` +
      "The image was published like this; ask whoever made it, or try another tag.",
    { cause },
  );
}

/** An entry tries to leave the image, or means nothing. `path` is a byte string. */
export function unsafeEntry(path: string, why: string): MsbError {
  const shown = shownPath(path);
  return new MsbError(
    "MSB_ERR_UNSAFE_LAYER",
    `A layer's entry "${shown}" ${why}. No honest tool writes such a layer; nothing of the image was kept.`,
    { details: { path: shown } },
  );
}

/** `what` is more than the limit `option` allows. */
export function tooLarge(what: string, option: keyof LayerLimits, limit: number): MsbError {
  return new MsbError(
    "MSB_ERR_IMAGE_LIMIT",
    `${what} than limits.${option} allows (${limit}). Raise it if you trust the image.`,
    { details: { option, limit } },
  );
}

function shownPath(path: string): string {
  const text = printable(Buffer.from(path, "latin1").toString("utf8"));
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
