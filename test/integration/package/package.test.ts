/**
 * The package as `npm pack` makes it, installed in an empty folder. What it depends on is linked, not fetched, so that
 * no network is needed.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { builtCli } from "../../helpers/built-cli.js";

const project = fileURLToPath(new URL("../../..", import.meta.url));
/** Both with room for growth; what is not meant to be in it is larger than that room. */
const MAX_PACKED_BYTES = 2 * 1024 ** 2;
const MAX_UNPACKED_BYTES = 6 * 1024 ** 2;

interface PackReport {
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string; readonly mode: number }[];
}

let dir: string;
let report: PackReport;
/** A folder of a user's with the package in its node_modules. */
let user: string;
let installed: string;

beforeAll(async () => {
  // Packing is done without its scripts: they would build anew below other tests.
  builtCli();
  dir = await mkdtemp(join(tmpdir(), "msb-package-"));
  run(process.execPath, ["src/checkout/prebuild.mjs"], project);
  const packed = run(
    "npm",
    ["pack", "--ignore-scripts", "--json", "--pack-destination", dir],
    project,
  );
  report = (JSON.parse(packed) as PackReport[])[0]!;
  user = join(dir, "user");
  installed = join(user, "node_modules/msb-ts");
  await mkdir(installed, { recursive: true });
  run("tar", ["-xzf", join(dir, report.filename), "-C", installed, "--strip-components=1"], dir);
  await writeFile(
    join(user, "package.json"),
    JSON.stringify({ name: "user", dependencies: { "msb-ts": "*" } }),
  );
  await linkDependencies();
});

afterAll(() => rm(dir, { recursive: true, force: true }));

function run(command: string, args: readonly string[], cwd: string): string {
  return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Those for users alone: what only development has must not be needed. */
async function linkDependencies(): Promise<void> {
  const lock = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean }>;
  };
  for (const [path, { dev }] of Object.entries(lock.packages)) {
    // Nested ones come with those they are in.
    if (dev === true || !/^node_modules\/(@[^/]+\/)?[^/]+$/.test(path)) continue;
    if (!existsSync(join(project, path))) continue;
    await mkdir(dirname(join(user, path)), { recursive: true });
    await symlink(join(project, path), join(user, path));
  }
}

test("has what runs and what can be built, and nothing of development", () => {
  const folders = new Set(report.files.map(({ path }) => path.split("/")[0]));
  expect([...folders].toSorted()).toEqual([
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "binding.gyp",
    "dist",
    "docs",
    "images",
    "native",
    "package.json",
    "prebuilds",
  ]);
  const paths = report.files.map(({ path }) => path);
  expect(paths).toEqual(
    expect.arrayContaining([
      "dist/index.js",
      "dist/index.d.ts",
      "dist/cli/main.js",
      "dist/kernel/programs/kernel.py",
      "native/install.mjs",
      "native/agent/main.cc",
      "images/python/recipe.json",
    ]),
  );
  const isOdd = (path: string): boolean =>
    /(^|\/)(test|node_modules|\.[^/]+)(\/|$)|\.(map|tgz|log|tsbuildinfo)$/.test(path) ||
    (path.endsWith(".ts") && !path.endsWith(".d.ts"));
  expect(paths.filter(isOdd)).toEqual([]);
});

test("has in dist what its sources say", () => {
  const built = report.files
    .map(({ path }) => path)
    .filter((path) => path.startsWith("dist/") && path.endsWith(".d.ts"));
  const sources = readdirSync(join(project, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => /(?<!\.d)\.ts$/.test(path))
    .map((path) => `dist/${path.replace(/\.ts$/, ".d.ts")}`);
  expect(sources.filter((path) => !built.includes(path))).toEqual([]);
});

test("is small", () => {
  expect(report.size).toBeLessThan(MAX_PACKED_BYTES);
  expect(report.unpackedSize).toBeLessThan(MAX_UNPACKED_BYTES);
});

test("its binaries are those of this build, stripped, and executable", () => {
  const folder = `prebuilds/${process.platform}-${process.arch}`;
  for (const name of ["msb.node", "msb-vmm", "msb-agent"]) {
    const { mode } = report.files.find(({ path }) => path === `${folder}/${name}`)!;
    expect(mode & 0o111).toBe(0o111);
    expect(run("file", ["-b", join(installed, folder, name)], dir)).not.toContain("not stripped");
  }
});

test("its command runs without being built", () => {
  const bin = join(installed, "dist/cli/main.js");
  const { version } = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as {
    version: string;
  };
  expect(run(bin, ["--version"], user).trim()).toBe(version);
  expect(run(bin, ["--help"], user)).toContain("Usage: msb-ts");
});

test("is imported and required, and its native code is the prebuilt one", () => {
  const names = "Object.keys(m).filter((name) => ['PythonSandbox', 'isMsbError'].includes(name))";
  const say = (load: string): string =>
    run(process.execPath, ["-e", `${load}.then((m) => console.log(...${names}.sort()))`], user);
  expect(say('import("msb-ts")').trim()).toBe("PythonSandbox isMsbError");
  expect(say('Promise.resolve(require("msb-ts"))').trim()).toBe("PythonSandbox isMsbError");
  const program = `
    import { agentPath, vmmPath } from "${installed}/dist/native/binaries.js";
    console.log(JSON.stringify([vmmPath(), agentPath()]));`;
  const paths = JSON.parse(
    run(process.execPath, ["--input-type=module", "-e", program], user),
  ) as string[];
  const folder = join(installed, `prebuilds/${process.platform}-${process.arch}`);
  expect(paths).toEqual([join(folder, "msb-vmm"), join(folder, "msb-agent")]);
});

test("its types are enough for a program that has no library but the default one", async () => {
  const program = `
    import { PythonSandbox } from "msb-ts";
    await using sandbox = await PythonSandbox.create();
    export const output: string = await (await sandbox.run("1")).output();`;
  await writeFile(join(user, "program.mts"), program);
  const options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"];
  const tsc = join(project, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, ...options, "program.mts"], {
    cwd: user,
    encoding: "utf8",
  });
  expect([status, stdout]).toEqual([0, ""]);
});

test("its install script builds nothing where the prebuilt binaries run", () => {
  run(process.execPath, ["native/install.mjs"], installed);
  expect(existsSync(join(installed, "build"))).toBe(false);
});

test("its install script builds where they do not run", async () => {
  await writeFile(
    join(installed, `prebuilds/${process.platform}-${process.arch}/msb.node`),
    "for another system",
  );
  // The compiler's work is another matter: what is asked for is seen by node-gyp's refusal.
  await rm(join(installed, "binding.gyp"));
  expect(() => run(process.execPath, ["native/install.mjs"], installed)).toThrow(
    /binding\.gyp[\s\S]*npm rebuild msb-ts/,
  );
});
