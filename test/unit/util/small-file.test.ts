import { execFileSync } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readSmallFile, sharedSecret } from "../../../src/util/small-file.js";
import { tempDir } from "../../helpers/temp-dir.js";

test("a file is read with who may read it; one that is missing is no error", async () => {
  const path = join(await tempDir(), "f");
  expect(await readSmallFile(path, 10)).toBeUndefined();
  expect(await readSmallFile(join(path, "below-a-file"), 10)).toBeUndefined();
  await writeFile(path, "0123456789", { mode: 0o600 });
  expect(await readSmallFile(path, 10)).toEqual({
    bytes: Buffer.from("0123456789"),
    isShared: false,
  });
  for (const mode of [0o640, 0o604, 0o620]) {
    await chmod(path, mode);
    expect((await readSmallFile(path, 10))?.isShared).toBe(true);
  }
});

test("what is large, a folder, a pipe or a device is refused and never waited for", async () => {
  const dir = await tempDir();
  const pipe = join(dir, "pipe");
  execFileSync("mkfifo", [pipe]);
  await writeFile(join(dir, "large"), "0123456789");
  for (const path of [dir, pipe, "/dev/zero", join(dir, "large")]) {
    await expect(readSmallFile(path, 9)).rejects.toMatchObject({
      code: "MSB_ERR_SETTINGS_INVALID",
      details: { path },
    });
  }
});

test("the command in the message can be run as it is", async () => {
  const path = join(await tempDir(), "it's a $(file)");
  await writeFile(path, "x", { mode: 0o644 });
  const [, command] = /run: (.*)\.$/.exec(sharedSecret(path, "passwords").message) ?? [];
  execFileSync("/bin/sh", ["-c", command!.replace(/\.$/, "")]);
  expect((await readSmallFile(path, 10))?.isShared).toBe(false);
});
