/** The names that languages have on the old wire. */
import type { Language } from "../../kernel/run-types.js";

const LANGUAGES: ReadonlyMap<string, Language> = new Map([
  ["python", "python"],
  ["node", "node"],
  ["nodejs", "node"],
  ["javascript", "node"],
]);

export const LANGUAGE_NAMES: readonly string[] = [...LANGUAGES.keys()];

/** In any case of letters; undefined for one that is not known. */
export function languageOf(name: string): Language | undefined {
  return LANGUAGES.get(name.toLowerCase());
}
