/** docs/sdk.md says what there is: its programs compile, and no public name, member or code is left out. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { ERROR_CODES, type ErrorCode } from "../../../src/errors.js";
import { sdkError } from "../../../src/sdk/errors.js";
import { docsBlocks, missingLine, SDK_DOCS } from "../../helpers/docs-blocks.js";

const project = fileURLToPath(new URL("../../../", import.meta.url));
const entry = join(project, "src/index.ts");
const page = readFileSync(SDK_DOCS, "utf8");
/** As users' programs are compiled. */
const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  lib: ["lib.es2023.d.ts", "lib.es2024.string.d.ts", "lib.esnext.disposable.d.ts"],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: ["node"],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  noEmit: true,
  paths: { "msb-ts": [entry] },
};

/** A program of files that are in memory alone, beside the project's own. */
function compiled(files: ReadonlyMap<string, string>): ts.Program {
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists, getSourceFile } = host;
  host.getCurrentDirectory = () => project;
  host.fileExists = (path) => files.has(path) || fileExists(path);
  host.readFile = (path) => files.get(path) ?? readFile(path);
  host.getSourceFile = (path, target, ...rest) => {
    const text = files.get(path);
    if (text === undefined) return getSourceFile(path, target, ...rest);
    return ts.createSourceFile(path, text, target);
  };
  return ts.createProgram([entry, ...files.keys()], options, host);
}

function problemsOf(files: ReadonlyMap<string, string>): string[] {
  const program = compiled(files);
  return [...files.keys()].flatMap((path) => {
    const file = program.getSourceFile(path)!;
    const problems = [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ];
    return problems.map(
      ({ messageText }) => `${path}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`,
    );
  });
}

/** Public names of the entry, each with the members of the class or interface that it is. */
function publicNames(): Map<string, string[]> {
  const program = compiled(new Map());
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(entry)!)!;
  return new Map(
    checker.getExportsOfModule(module).map((name) => {
      const { flags } = name;
      const symbol = flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(name) : name;
      const members = [...(symbol.members ?? []), ...(symbol.exports ?? [])]
        .filter(([, member]) => isPublic(member))
        .map(([text]) => String(text));
      return [name.name, members];
    }),
  );
}

function isPublic(member: ts.Symbol): boolean {
  const kinds = ts.SymbolFlags.Method | ts.SymbolFlags.Property | ts.SymbolFlags.Accessor;
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  const [declaration] = member.declarations ?? [];
  return (
    (member.flags & kinds) !== 0 &&
    declaration !== undefined &&
    (ts.getCombinedModifierFlags(declaration) & hidden) === 0 &&
    /^[a-z]\w*$/i.test(member.name)
  );
}

/** Words of what is marked as code in the page's own text. */
const namedWords = new Set(
  [...page.replace(/^```.*?^```$/gms, "").matchAll(/`([^`\n]+)`/g)].flatMap(
    ([, code]) => code!.match(/\w+/g) ?? [],
  ),
);

describe("docs/sdk.md", () => {
  it("has programs that compile", () => {
    const blocks = docsBlocks(page).filter(({ language }) => language === "ts");
    expect(blocks.length).toBeGreaterThan(20);
    const files = blocks.map(
      ({ source }, index) => [join(project, `docs/block-${index}.mts`), source] as const,
    );
    expect(problemsOf(new Map(files))).toEqual([]);
  });

  it("would not pass with a name that there is not", () => {
    const path = join(project, "docs/wrong.mts");
    const source = 'import { PythonSandbox } from "msb-ts";\nvoid new PythonSandbox().runs();\n';
    expect(problemsOf(new Map([[path, source]]))).toEqual([
      expect.stringContaining("Property 'runs' does not exist on type 'PythonSandbox'"),
    ]);
  });

  it("names everything that the entry exports, with the members of each", () => {
    const names = publicNames();
    expect(names.get("BaseSandbox")).toEqual(expect.arrayContaining(["create", "interrupt"]));
    const all = [...names].flatMap(([name, members]) => [name, ...members]);
    expect(all.length).toBeGreaterThan(100);
    expect([...new Set(all)].filter((name) => !namedWords.has(name))).toEqual([]);
  });

  it("has each code in the row of its class", () => {
    const rows = page.split("\n").filter((line) => /^\| `\w+Error` \|/.test(line));
    const inRows = rows.flatMap((row) => {
      const [name] = /\w+Error/.exec(row)!;
      return [...row.matchAll(/MSB_ERR_\w+/g)].map(([code]) => [code, name]);
    });
    const expected = (Object.keys(ERROR_CODES) as ErrorCode[])
      .map((code) => [code, sdkError(code, "").name])
      .filter(([, name]) => name !== "ServerError");
    expect(inRows.toSorted()).toEqual(expected.toSorted());
  });
});

describe("a block", () => {
  const fragment = "## A\n\n```ts\nconsole.log(1); // 1\nconsole.log(2);\n// no\n```\n";

  it("is a program, or a fragment of one", () => {
    const [own] = docsBlocks('# B\n```ts\nimport "msb-ts";\n```\n');
    const source = 'import "msb-ts";\n';
    expect(own).toEqual({ title: "B, line 2", language: "ts", source, printed: [] });
    const [old] = docsBlocks('```js\nrequire("msb-ts");\n```\n');
    expect(old).toMatchObject({ language: "js", source: 'require("msb-ts");\n' });
    expect(docsBlocks(fragment)[0]!.source).toContain("PythonSandbox.connect(");
  });

  it("prints what the comments of its console.log say", () => {
    expect(docsBlocks(fragment)[0]!.printed).toEqual(["1"]);
    expect(missingLine(["a", "x", "b"], ["a", "b"])).toBeUndefined();
    expect(missingLine(["b", "a"], ["a", "b"])).toBe("b");
    expect(missingLine(["a"], ["a", "a"])).toBe("a");
  });
});
