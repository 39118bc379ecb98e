/**
 * The SDK as it is built: as a module and as CommonJS, from a folder with the package in its node_modules, and what
 * each of them is made of.
 */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { builtinModules, createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as source from "../../../src/index.js";
import { builtCli } from "../../helpers/built-cli.js";
import { runProgram } from "../../helpers/run-program.js";

const project = fileURLToPath(new URL("../../../", import.meta.url));
const NAMES = Object.keys(source).toSorted();
const COPIES = ["dist/index.js", "dist/cjs/index.js"];

let folder: string;

beforeAll(async () => {
  builtCli();
  folder = await mkdtemp(join(tmpdir(), "msb-sdk-package-"));
  await mkdir(join(folder, "node_modules"));
  await symlink(project, join(folder, "node_modules/msb-ts"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What a program of a user says, as JSON. */
async function saidBy(file: string, program: string): Promise<unknown> {
  const path = join(folder, file);
  await writeFile(path, program);
  const { exitCode, stdout, stderr } = await runProgram([process.execPath, path]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return JSON.parse(stdout);
}

describe("the built package", () => {
  it("is imported, with all its names", async () => {
    const program = `import * as sdk from "msb-ts"; console.log(JSON.stringify(Object.keys(sdk)));`;
    expect(await saidBy("import.mjs", program)).toEqual(NAMES);
  });

  it("is required, with the same names, and loads nothing native", async () => {
    const said = await saidBy(
      "require.cjs",
      `const names = Object.keys(require("msb-ts")).sort();
       const native = Object.keys(require.cache).filter((path) => path.endsWith(".node"));
       console.log(JSON.stringify({ names, native }));`,
    );
    expect(said).toEqual({ names: NAMES, native: [] });
  });

  it("knows errors of its other copy by isMsbError, and those of its own by their classes, too", async () => {
    const said = await saidBy(
      "both.mjs",
      `import { createRequire } from "node:module";
       import * as module from "msb-ts";
       const common = createRequire(import.meta.url)("msb-ts");
       const thrownBy = ({ PythonSandbox }) => {
         try {
           return new PythonSandbox({ serverUrl: "nowhere" });
         } catch (error) {
           return error;
         }
       };
       const views = [[module, common], [common, module]].map(([own, other]) => {
         const error = thrownBy(own);
         return {
           name: error.name,
           own: [error instanceof own.InvalidArgumentError, error instanceof own.MsbError, error instanceof Error],
           other: [error instanceof other.InvalidArgumentError, error instanceof other.MsbError],
           isMsbError: [own, other].map(({ isMsbError }) => isMsbError(error, "MSB_ERR_INVALID_ARGUMENT")),
           isAnother: other.isMsbError(error, "MSB_ERR_ABORTED"),
         };
       });
       console.log(JSON.stringify(views));`,
    );
    const view = {
      name: "InvalidArgumentError",
      own: [true, true, true],
      other: [false, false],
      isMsbError: [true, true],
      isAnother: false,
    };
    expect(said).toEqual([view, view]);
  });
});

interface ImportGraph {
  readonly files: readonly string[];
  /** Names of packages and of Node.js's own modules. */
  readonly packages: ReadonlySet<string>;
}

/** All files that an entry is made of, those of packages included. */
async function importGraph(entry: string): Promise<ImportGraph> {
  const files = [entry];
  const packages = new Set<string>();
  for (const file of files) {
    for (const name of importsOf(await readFile(file, "utf8"))) {
      if (!name.startsWith(".")) packages.add(name);
      const path = resolved(name, file);
      if (path !== undefined && !files.includes(path)) files.push(path);
    }
  }
  return { files, packages };
}

function importsOf(code: string): string[] {
  return ts.preProcessFile(code, true, true).importedFiles.map(({ fileName }) => fileName);
}

function isBuiltin(name: string): boolean {
  return name.startsWith("node:") || builtinModules.includes(name);
}

/** Undefined for what is no file. */
function resolved(name: string, from: string): string | undefined {
  if (isBuiltin(name)) return undefined;
  if (name.startsWith(".") && name.endsWith(".js")) {
    return fileURLToPath(new URL(name, pathToFileURL(from)));
  }
  return createRequire(from).resolve(name);
}

describe.each(COPIES)("%s", (copy) => {
  it("needs no module of Node.js, no native file, and one package", async () => {
    const { files, packages } = await importGraph(join(project, copy));
    expect(files.length).toBeGreaterThan(20);
    expect([...packages]).toEqual(["eventsource-parser"]);
    expect(files.filter((path) => !/\.c?js$/.test(path))).toEqual([]);
  });

  it("has nothing of the server, the hypervisor or the CLI in it", async () => {
    const { files } = await importGraph(join(project, copy));
    const own = files.filter((path) => path.startsWith(join(project, "dist/")));
    const isOther = (path: string): boolean =>
      !/\/dist\/(cjs\/)?(sdk\/|util\/|errors\.js|index\.js)/.test(path);
    expect(own.filter(isOther)).toEqual([]);
  });
});

it("the graph would have a module of Node.js, if there were one", async () => {
  const { packages } = await importGraph(join(project, "dist/microvm.js"));
  expect([...packages].filter(isBuiltin)).not.toEqual([]);
});
