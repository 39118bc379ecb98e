/** Errors about archives and layout folders: they come from strangers and may be anything. */
import { MsbError } from "../../errors.js";
import { printable } from "../../util/printable.js";

/** The archive is not what it should be. `why` is a sentence without its end; texts from the archive go through `shown`. */
export function invalidArchive(why: string, cause?: unknown): MsbError {
  return new MsbError(
    "MSB_ERR_IMAGE_INVALID",
    `The image archive cannot be used: ${why}. Nothing was loaded; make it again, by \`docker save\`, ` +
      "`skopeo copy` or `msb-ts image save`.",
    { cause },
  );
}

/** More than the limit `option` allows. */
export function archiveTooLarge(what: string, option: string, limit: number): MsbError {
  return new MsbError(
    "MSB_ERR_IMAGE_LIMIT",
    `The image archive has ${what} than limits.${option} allows (${limit}). Raise it if you trust the archive.`,
    { details: { option, limit } },
  );
}

/** A name from an archive, safe to print in one line. */
export function shown(name: string): string {
  const text = printable(name.slice(0, 200)).replaceAll(/[\n\t]/g, "\ufffd");
  return `"${text}${name.length > 200 ? "…" : ""}"`;
}
