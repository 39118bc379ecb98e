// Lets a child process of a test run our TypeScript as it is: `node --import .../typescript-hooks.mjs program.ts`.
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { register } from "node:module";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";

/** What the compiler made, by what it was made of: a process a test would wait for it again and again. */
const cache = new URL("../../build/test-cache/", import.meta.url);
const project = fileURLToPath(new URL("../..", import.meta.url));

if (isMainThread) register(import.meta.url);

/** Our imports name the `.js` that a build makes; here only the `.ts` is there. */
export async function resolve(specifier, context, next) {
  if (!/^\.{1,2}\/.*\.js$/.test(specifier) || !context.parentURL?.endsWith(".ts")) {
    return next(specifier, context);
  }
  return next(specifier.replace(/\.js$/, ".ts"), context).catch(() => next(specifier, context));
}

export async function load(url, context, next) {
  if (!url.endsWith(".ts")) return next(url, context);
  const path = fileURLToPath(url);
  const text = await readFile(path, "utf8");
  // The place in the project and not on this machine: what was compiled may travel.
  const place = relative(project, path);
  const key = createHash("sha256").update(`${place}\n${text}`).digest("hex");
  const cached = new URL(`${key}.mjs`, cache);
  const source = await readFile(cached, "utf8").catch(() => compile(path, text, cached));
  return { format: "module", source, shortCircuit: true };
}

async function compile(path, text, cached) {
  const { default: ts } = await import("typescript");
  const { outputText } = ts.transpileModule(text, {
    fileName: path,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      inlineSourceMap: true,
    },
  });
  await mkdir(cache, { recursive: true });
  const temp = new URL(`${process.pid}-${Math.random()}`, cache);
  await writeFile(temp, outputText);
  await rename(temp, cached);
  return outputText;
}
