import { rename, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { fileIdentity } from "../../../src/util/file-identity.js";
import { tempDir } from "../../helpers/temp-dir.js";

it("A file is another one when one of the same size and time takes its place", async () => {
  const folder = await tempDir();
  const [path, other] = [join(folder, "a"), join(folder, "b")];
  for (const file of [path, other]) {
    await writeFile(file, "same");
    await utimes(file, 1_000, 1_000);
  }
  const before = await fileIdentity(path);
  expect(await fileIdentity(path)).toBe(before);
  await rename(other, path);
  expect(await fileIdentity(path)).not.toBe(before);
  await expect(fileIdentity(other)).rejects.toMatchObject({ code: "ENOENT" });
});
