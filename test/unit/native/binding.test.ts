import { copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { expect, test } from "vitest";
import { vmmPath } from "../../../src/native/binaries.js";
import { loadFrom, nativeFolder } from "../../../src/native/binding.js";
import { nativeFolders } from "../../../src/native/folders.js";
import { tempDir } from "../../helpers/temp-dir.js";

/** A folder with a `msb.node` that `make` puts there. */
async function folderWith(make: (path: string) => Promise<unknown>): Promise<string> {
  const folder = join(await tempDir(), "folder");
  await mkdir(folder);
  await make(join(folder, "msb.node"));
  return folder;
}

const realAddon = (): string => join(nativeFolder(), "msb.node");

test("what was built here comes first, then what came with the package for this platform", () => {
  const [built, prebuilt, ...others] = nativeFolders("linux");
  expect(built).toMatch(/\/build\/Release$/);
  expect(prebuilt).toMatch(new RegExp(`/prebuilds/linux-${process.arch}$`));
  expect(others).toEqual([]);
  expect(nativeFolders("darwin")[1]).toMatch(new RegExp(`/prebuilds/darwin-${process.arch}$`));
});

test("an addon that is absent or does not load gives way to the next one", async () => {
  const absent = await tempDir();
  const broken = await folderWith((path) => writeFile(path, "no library"));
  const good = await folderWith((path) => symlink(realAddon(), path));
  const { binding, folder } = loadFrom([absent, broken, good]);
  expect(folder).toBe(good);
  expect(binding.processStartTime(process.pid)).toEqual(expect.any(String));
});

test("an addon of another version gives way, too, and is named when there is no other", async () => {
  // An addon, but none of ours.
  const foreign = createRequire(createRequire(import.meta.url).resolve("rollup")).resolve(
    `@rollup/rollup-${process.platform}-${process.arch}${libc()}`,
  );
  const old = await folderWith((path) => copyFile(foreign, path));
  expect(() => loadFrom([old])).toThrow(
    expect.objectContaining({
      code: "MSB_ERR_ADDON_MISSING",
      message: expect.stringMatching(/another version and lacks probeHost, /) as string,
    }),
  );
});

function libc(): string {
  return process.platform === "linux" ? "-gnu" : "";
}

test("without any, the error has each place with its reason, and both ways to build", async () => {
  const absent = await tempDir();
  const broken = await folderWith((path) => writeFile(path, "no library"));
  const paths = [absent, broken].map((folder) => join(folder, "msb.node"));
  const failure = expect.objectContaining({
    code: "MSB_ERR_ADDON_MISSING",
    message: expect.stringMatching(
      new RegExp(`${paths[0]}: it is not there; ${paths[1]}: .+npm rebuild msb-ts.+build:native`),
    ) as string,
    details: { paths },
  });
  expect(() => loadFrom([absent, broken])).toThrow(failure);
});

test("the supervisor is the one beside the addon that was loaded", () => {
  expect(vmmPath()).toBe(join(nativeFolder(), "msb-vmm"));
});
