/** Which language code is in, when nobody says it. */
import type { ContextView } from "../api/code.js";
import type { SandboxParams } from "../api/sandboxes.js";
import { MsbError } from "../errors.js";
import { type Language, LANGUAGES } from "../kernel/run-types.js";
import type { MsbClient } from "../sdk/client.js";
import type { CallOpts } from "../sdk/transport.js";
import { sandboxName } from "./sandbox-names.js";

const ENDINGS: readonly (readonly [RegExp, Language])[] = [
  [/\.py$/i, "python"],
  [/\.[cm]?js$/i, "node"],
];

/** By the ending of a file's name. */
export function languageOfFile(path: string): Language | undefined {
  return ENDINGS.find(([ending]) => ending.test(path))?.[1];
}

/** By the image, else the only language that the sandbox has an interpreter for. Throws MSB_ERR_INVALID_ARGUMENT. */
export async function languageOfSandbox(
  client: MsbClient,
  key: SandboxParams,
  opts: CallOpts,
): Promise<Language> {
  const { spec } = await client.getSandbox(key, opts);
  const byImage = languageOfImage(spec.image) ?? onlyLanguage(await client.contexts(key, opts));
  if (byImage !== undefined) return byImage;
  throw new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `The image of ${sandboxName(key)} does not tell which language the code is in: give --language ` +
      `${LANGUAGES.join(" or ")}.`,
    { details: { option: "language" } },
  );
}

/** The last part of its name, without tag and digest. */
export function languageOfImage(image: string): Language | undefined {
  const last = image.replace(/@.*$/s, "").split("/").at(-1)?.replace(/:.*$/s, "");
  return LANGUAGES.find((language) => language === last);
}

/** Of all, or of those whose interpreter was started. */
function onlyLanguage(contexts: readonly ContextView[]): Language | undefined {
  for (const some of [contexts, contexts.filter(({ state }) => state !== "absent")]) {
    const [first, ...others] = new Set(some.map(({ language }) => language));
    if (others.length === 0 && first !== undefined) return first;
  }
  return undefined;
}
