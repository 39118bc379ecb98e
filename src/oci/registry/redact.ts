/** What may be said of a URL and of a stranger's words in an error, a log or `details`. */
import { printable } from "../../util/printable.js";

/** Shorter ones would blacken half of a message, and are no secrets. */
const MIN_SECRET_LENGTH = 4;

/** A URL without what may be secret in it: user, password, query (signed links) and fragment. */
export function redactUrl(url: URL): string {
  const hidden = url.search === "" ? "" : "?…";
  return printable(`${url.protocol}//${url.host}${url.pathname}${hidden}`.slice(0, 500));
}

/** `text` with every one of `secrets` blackened, safe to print, at most `maxLength` characters. */
export function redactText(text: string, secrets: readonly string[], maxLength: number): string {
  let safe = text;
  // The longest first: one may be part of another.
  for (const secret of secrets.toSorted((a, b) => b.length - a.length)) {
    if (secret.length >= MIN_SECRET_LENGTH) safe = safe.replaceAll(secret, "***");
  }
  return printable(safe.slice(0, maxLength));
}
