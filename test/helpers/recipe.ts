/** Recipes for tests. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Recipe } from "../../src/oci/recipe/recipe.js";

/** The smallest recipe there can be, with changes. */
export function recipe(changes: Partial<Recipe> = {}): Recipe {
  return {
    schemaVersion: 1,
    name: "test/tiny",
    description: "for tests",
    suite: "bookworm",
    variant: "essential",
    packages: [],
    created: "2026-01-02T03:04:05Z",
    config: { Env: ["LANG=C.UTF-8"], Cmd: ["sh"] },
    files: [],
    exclude: [],
    include: [],
    remove: [],
    ...changes,
  };
}

export async function writeRecipe(
  folder: string,
  changes: Partial<Recipe> = {},
  files: Readonly<Record<string, string>> = {},
): Promise<string> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "recipe.json"), JSON.stringify(recipe(changes)));
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}
