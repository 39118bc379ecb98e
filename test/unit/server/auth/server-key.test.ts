import { execFileSync } from "node:child_process";
import { chmod, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import type { MsbError } from "../../../../src/errors.js";
import { msbPaths } from "../../../../src/paths.js";
import { issueApiKey, verifyApiKey } from "../../../../src/server/auth/api-key.js";
import { resetServerKey, ServerKey } from "../../../../src/server/auth/server-key.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const SECRET = "0123456789abcdefghijklmnopqrstuv";
const apiKeyOf = async (key: ServerKey) =>
  (await issueApiKey(key, { namespace: "*", lifetimeS: 60 })).key;

async function written(content: string | Uint8Array, mode = 0o600) {
  const paths = msbPaths(await tempDir());
  await writeFile(paths.serverKeyFile, content);
  await chmod(paths.serverKeyFile, mode);
  return paths;
}

describe("the server key of MSB_HOME", () => {
  it("is made with its first use: 32 letters and digits, for its owner alone", async () => {
    const paths = msbPaths(join(await tempDir(), "home"));
    const key = await ServerKey.open(paths);
    expect(await readFile(paths.serverKeyFile, "utf8")).toMatch(/^[A-Za-z0-9]{32}$/);
    expect((await stat(paths.serverKeyFile)).mode & 0o777).toBe(0o600);
    expect(key).toMatchObject({ path: paths.serverKeyFile, notice: null });
    const again = await ServerKey.open(paths);
    await expect(verifyApiKey(again, await apiKeyOf(key))).resolves.toBeDefined();
  });

  it("is one key for all who make it at the same time", async () => {
    const paths = msbPaths(await tempDir());
    const keys = await Promise.all(Array.from({ length: 8 }, () => ServerKey.open(paths)));
    const apiKey = await apiKeyOf(keys[0]!);
    for (const key of keys) await expect(verifyApiKey(key, apiKey)).resolves.toBeDefined();
  });

  it("is not the same in two homes", async () => {
    const [one, other] = await Promise.all(
      [await tempDir(), await tempDir()].map((home) => ServerKey.open(msbPaths(home))),
    );
    await expect(verifyApiKey(other!, await apiKeyOf(one!))).rejects.toThrow("Invalid or expired");
  });

  it("is refused when others may read it, with the command that mends it", async () => {
    for (const mode of [0o640, 0o604, 0o660]) {
      const paths = await written(SECRET, mode);
      const error = await ServerKey.open(paths).catch((caught: unknown) => caught as MsbError);
      expect(error).toMatchObject({ code: "MSB_ERR_KEY_FILE_INVALID" });
      const [, command] = /run: (.*)\.$/.exec((error as MsbError).message) ?? [];
      execFileSync("/bin/sh", ["-c", command!]);
      await expect(ServerKey.open(paths)).resolves.toBeInstanceOf(ServerKey);
    }
  });

  it.each([
    ["", /is empty/],
    ["s3cret-and-short", /has only 16 bytes/],
    ["s3cret".repeat(800), /more than 4096 bytes/],
  ])("of the wrong size is refused without a word of it (%#)", async (content, message) => {
    const paths = await written(content);
    const error = await ServerKey.open(paths).catch((caught: unknown) => caught as MsbError);
    expect(error).toMatchObject({ code: "MSB_ERR_KEY_FILE_INVALID" });
    expect((error as MsbError).message).toMatch(message);
    expect(inspect(error)).not.toContain("s3cret");
  });

  it("is all bytes of the file: a line feed at its end counts, and that is said", async () => {
    const plain = await ServerKey.open(await written(SECRET));
    const withLineFeed = await ServerKey.open(await written(`${SECRET}\n`));
    expect(withLineFeed.notice).toContain("line feed");
    await expect(verifyApiKey(withLineFeed, await apiKeyOf(plain))).rejects.toThrow("Invalid");
    const bytes = await ServerKey.open(await written(Buffer.alloc(40, 0xff)));
    await expect(verifyApiKey(bytes, await apiKeyOf(bytes))).resolves.toBeDefined();
  });

  it("is in no text of the object, and cannot be taken out of it", async () => {
    const key = await ServerKey.open(await written(SECRET));
    expect(inspect(key, { depth: 9, showHidden: true })).not.toContain(SECRET);
    expect(JSON.stringify(key)).not.toContain(SECRET);
    await expect(crypto.subtle.exportKey("raw", key.hmacKey)).rejects.toThrow(/extractable/);
  });
});

describe("another key file", () => {
  it("is taken, also through a link, but never made", async () => {
    const paths = msbPaths(await tempDir());
    const keyFile = join(await tempDir(), "key");
    await expect(ServerKey.open(paths, { keyFile })).rejects.toMatchObject({
      code: "MSB_ERR_KEY_FILE_INVALID",
      message: expect.stringContaining(`${keyFile} is not there`) as string,
    });
    await writeFile(keyFile, SECRET, { mode: 0o600 });
    await symlink(keyFile, `${keyFile}.link`);
    const key = await ServerKey.open(paths, { keyFile: `${keyFile}.link` });
    expect(key.path).toBe(`${keyFile}.link`);
    await expect(stat(paths.serverKeyFile)).rejects.toThrow("ENOENT");
  });

  it("is a file, and nothing that is waited for", async () => {
    const dir = await tempDir();
    execFileSync("mkfifo", ["-m", "600", join(dir, "pipe")]);
    for (const keyFile of [dir, join(dir, "pipe"), "/dev/zero"]) {
      await expect(ServerKey.open(msbPaths(dir), { keyFile })).rejects.toMatchObject({
        code: "MSB_ERR_KEY_FILE_INVALID",
        details: { path: keyFile },
      });
    }
  });
});

describe("a reset", () => {
  it("ends all keys that were issued before", async () => {
    const paths = msbPaths(await tempDir());
    const apiKey = await apiKeyOf(await ServerKey.open(paths));
    const fresh = await resetServerKey(paths);
    await expect(verifyApiKey(fresh, apiKey)).rejects.toThrow("Invalid or expired token");
    expect(await readFile(paths.serverKeyFile, "utf8")).toMatch(/^[A-Za-z0-9]{32}$/);
    expect((await stat(paths.serverKeyFile)).mode & 0o777).toBe(0o600);
  });

  it("takes a secret that is given, and leaves the old one when it cannot be", async () => {
    const paths = await written("x".repeat(32), 0o644);
    await resetServerKey(paths, { secret: Buffer.from(SECRET) });
    expect(await readFile(paths.serverKeyFile, "utf8")).toBe(SECRET);
    await expect(resetServerKey(paths, { secret: Buffer.from("short") })).rejects.toMatchObject({
      code: "MSB_ERR_KEY_FILE_INVALID",
    });
    expect(await readFile(paths.serverKeyFile, "utf8")).toBe(SECRET);
    await expect(ServerKey.open(paths)).resolves.toBeDefined();
  });
});

it("a home that cannot be written to is named", async () => {
  const paths = msbPaths("/dev/null");
  await expect(ServerKey.open(paths)).rejects.toMatchObject({
    code: "MSB_ERR_HOME_UNUSABLE",
    message: expect.stringContaining("/dev/null/server.key") as string,
  });
});
