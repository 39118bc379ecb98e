import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Parser } from "tar";
import { expect, test } from "vitest";
import { filesLayer } from "../../../../src/oci/recipe/files-layer.js";
import type { Recipe } from "../../../../src/oci/recipe/recipe.js";
import { recipe, writeRecipe } from "../../../helpers/recipe.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const withFile = (source: string, path = "/etc/x"): Recipe =>
  recipe({ files: [{ source, path, mode: "0640" }] });

async function layerOf(wanted: Recipe, folder: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of filesLayer(wanted, folder)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("a recipe's files are root's, as old as the recipe, and the same every time", async () => {
  const folder = await writeRecipe(await tempDir(), {}, { conf: "hello" });
  const layer = await layerOf(withFile("conf"), folder);
  expect(await layerOf(withFile("conf"), folder)).toEqual(layer);
  const entries: unknown[] = [];
  const parser = new Parser();
  parser.on("entry", (entry) => {
    entries.push([entry.path, entry.type, entry.mode, entry.uid, entry.mtime?.toISOString()]);
    entry.resume();
  });
  parser.end(layer);
  const date = "2026-01-02T03:04:05.000Z";
  expect(entries).toEqual([
    ["dev/", "Directory", 0o755, 0, date],
    ["etc/x", "File", 0o640, 0, date],
  ]);
});

test("a file that is not there, no file, or outside of the recipe is refused", async () => {
  const outside = await tempDir();
  await writeFile(join(outside, "secret"), "secret");
  const folder = await writeRecipe(await tempDir());
  await symlink(join(outside, "secret"), join(folder, "link"));
  await symlink("..", join(folder, "up"));
  for (const [source, why] of [
    ["missing", "not there"],
    ["link", "leads out"],
    ["up", "leads out"],
    ["recipe.json/x", "ENOTDIR"],
  ] as const) {
    await expect(layerOf(withFile(source), folder)).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
      message: expect.stringContaining(why) as string,
    });
  }
});

test("a name that does not fit into a tar header is refused", async () => {
  const folder = await writeRecipe(await tempDir(), {}, { conf: "x" });
  const path = `/${"d/".repeat(200)}x`;
  await expect(layerOf(withFile("conf", path), folder)).rejects.toMatchObject({
    code: "MSB_ERR_INVALID_ARGUMENT",
  });
});
