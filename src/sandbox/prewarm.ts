/** Which interpreter an image is for, so that it can be started before anybody asks. */
import type { Language } from "../kernel/run-types.js";
import type { RunConfig } from "../oci/image.js";

/** `background`: a start does not wait for it. */
export const PREWARM_CHOICES = ["background", "wait", "off"] as const;
export type Prewarm = (typeof PREWARM_CHOICES)[number];

const VARIABLES: Readonly<Record<string, Language>> = {
  PYTHON_VERSION: "python",
  NODE_VERSION: "node",
};

/** A guess from what the image says of itself; undefined when it says nothing of the kind. */
export function languageOf(
  imageName: string,
  config: Pick<RunConfig, "env" | "cmd" | "entrypoint">,
): Language | undefined {
  return (
    ofName(imageName) ??
    config.env.map((entry) => VARIABLES[entry.replace(/=.*$/s, "")]).find(isKnown) ??
    [config.cmd[0], config.entrypoint[0]].map(ofProgram).find(isKnown)
  );
}

/** Of the interpreter that is to be started ahead. */
export function languageAhead(
  prewarm: Prewarm,
  imageName: string,
  config: Parameters<typeof languageOf>[1],
): Language | undefined {
  return prewarm === "off" ? undefined : languageOf(imageName, config);
}

/** The last part of the name, without tag and digest. */
function ofName(imageName: string): Language | undefined {
  const last = imageName.replace(/@.*$/s, "").split("/").at(-1)?.replace(/:.*$/s, "");
  return last === "python" || last === "node" ? last : undefined;
}

function ofProgram(path: string | undefined): Language | undefined {
  const program = path?.split("/").at(-1) ?? "";
  if (/^python[\d.]*$/.test(program)) return "python";
  return /^node(js)?\d*$/.test(program) ? "node" : undefined;
}

function isKnown(language: Language | undefined): language is Language {
  return language !== undefined;
}
