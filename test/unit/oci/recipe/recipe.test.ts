import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  BUILT_IN_RECIPES,
  parseRecipe,
  readRecipe,
  recipeFolder,
} from "../../../../src/oci/recipe/recipe.js";
import { recipe } from "../../../helpers/recipe.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const parse = (changes: object) =>
  parseRecipe(JSON.stringify({ ...recipe(), ...changes }), "r.json");

describe("a recipe", () => {
  test("is read as it is written", () => {
    expect(parse({})).toEqual(recipe());
  });

  test.each(BUILT_IN_RECIPES)(
    "%s comes with the package and has a PATH and UTF-8",
    async (name) => {
      const { config, name: full } = await readRecipe(recipeFolder(name));
      expect(full).toBe(`msb-ts/${name}`);
      expect(config.Env).toContain("LANG=C.UTF-8");
      expect(config.Env?.some((line) => line.startsWith("PATH=/usr/local/sbin:"))).toBe(true);
    },
  );

  test("of another folder is found by its path", async () => {
    expect(recipeFolder("./base")).toBe(join(process.cwd(), "base"));
    expect(recipeFolder("/recipes/mine")).toBe("/recipes/mine");
  });

  test.each([
    ["a field that is not known", { packges: [] }, "/packges"],
    ["a field of the config that is not known", { config: { Volumes: {} } }, "/config/Volumes"],
    ["another version", { schemaVersion: 2 }, "/schemaVersion"],
    ["a package that is an option", { packages: ["-o=Dir"] }, "/packages/0"],
    ["a package that is a pattern", { packages: ["?essential"] }, "/packages/0"],
    ["a package that is a file", { packages: ["/tmp/x.deb"] }, "/packages/0"],
    ["packages in one text", { packages: ["a,b"] }, "/packages/0"],
    ["a suite that is an option", { suite: "--help" }, "/suite"],
    ["a variant that is not known", { variant: "custom" }, "/variant"],
    ["a line break in a pattern", { exclude: ["/a\npath-include=/b"] }, "/exclude/0"],
    ["a removal that climbs", { remove: ["/usr/../etc/x"] }, "/remove/0"],
    ["a removal of everything", { remove: ["/*/x"] }, "/remove/0"],
    ["a removal at the top", { remove: ["/usr"] }, "/remove/0"],
    ["a removal in the host's /proc", { remove: ["/proc/sys"] }, "/remove/0"],
    ["a relative removal", { remove: ["usr/x"] }, "/remove/0"],
    [
      "a file from outside",
      { files: [{ source: "../x", path: "/x", mode: "0644" }] },
      "/files/0/source",
    ],
    [
      "a file to a wrong place",
      { files: [{ source: "x", path: "/a/../b", mode: "0644" }] },
      "path",
    ],
    ["a mode that is none", { files: [{ source: "x", path: "/x", mode: "644" }] }, "/files/0/mode"],
    ["a date that is none", { created: "2026-13-01T00:00:00Z" }, "/created"],
    ["a name that is a path", { name: "../x" }, "/name"],
  ])("with %s is refused, and the field is named", (_, changes, where) => {
    const message = expect.stringContaining(where) as string;
    expect(() => parse(changes)).toThrow(
      expect.objectContaining({ code: "MSB_ERR_INVALID_ARGUMENT", message }),
    );
  });

  test("that is not there or not JSON is refused with what can be named", async () => {
    const folder = await tempDir();
    const base = expect.stringContaining("base, python, node") as string;
    await expect(readRecipe(folder)).rejects.toMatchObject({ message: base });
    await writeFile(join(folder, "recipe.json"), "{");
    await expect(readRecipe(folder)).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      message: expect.stringContaining("not JSON") as string,
    });
  });
});
