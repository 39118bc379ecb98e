/** The TypeScript and JavaScript in docs/sdk.md as programs. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const SDK_DOCS = fileURLToPath(new URL("../../docs/sdk.md", import.meta.url));
/** The sandbox that fragments are connected to. */
export const FRAGMENT_SANDBOX = "docs";

/** What the page says that fragments have. */
const PRELUDE = `
import { AbortError, isMsbError, MsbClient, PythonSandbox, Sandbox } from "msb-ts";
const sandbox = await PythonSandbox.connect(${JSON.stringify(FRAGMENT_SANDBOX)});
`;

export interface DocsBlock {
  /** The heading above it, and its line in the page. */
  readonly title: string;
  /** `js` is CommonJS. */
  readonly language: "ts" | "js";
  readonly source: string;
  /**
   * What it prints, in this order, among other lines: the comments that end lines which have `console.log(` in them.
   */
  readonly printed: readonly string[];
}

/** Every block marked `ts` or `js`. One that begins with an import is a program, others in TypeScript are fragments. */
export function docsBlocks(page = readFileSync(SDK_DOCS, "utf8")): DocsBlock[] {
  return [...page.matchAll(/^```(ts|js)\n(.*?)^```$/gms)].map((match) => {
    const language = match[1] as DocsBlock["language"];
    const code = match[2]!;
    const before = page.slice(0, match.index);
    const heading =
      before
        .match(/^#+ .*$/gm)
        ?.at(-1)
        ?.replace(/^#+ /, "") ?? "";
    return {
      title: `${heading}, line ${before.split("\n").length}`,
      language,
      source: language === "js" || code.startsWith("import ") ? code : PRELUDE + code,
      printed: [...code.matchAll(/console\.log\(.*; \/\/ (.*)$/gm)].map(([, text]) => text!),
    };
  });
}

/** The first of `expected` that does not come after those before it; undefined when all of them are there. */
export function missingLine(
  lines: readonly string[],
  expected: readonly string[],
): string | undefined {
  let at = 0;
  return expected.find((line) => {
    const found = lines.indexOf(line, at);
    at = found + 1;
    return found === -1;
  });
}
