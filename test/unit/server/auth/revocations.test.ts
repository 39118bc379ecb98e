import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { msbPaths } from "../../../../src/paths.js";
import { issueApiKey } from "../../../../src/server/auth/api-key.js";
import { newKeyId } from "../../../../src/server/auth/key-id.js";
import { isRevoked, listRevoked, revokeKey } from "../../../../src/server/auth/revocations.js";
import { ServerKey } from "../../../../src/server/auth/server-key.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const soon = () => Math.floor(Date.now() / 1000) + 3600;

test("a key is revoked by its id or by itself, as often as one likes", async () => {
  const paths = msbPaths(await tempDir());
  const serverKey = await ServerKey.open(paths);
  const issue = () => issueApiKey(serverKey, { namespace: "*", lifetimeS: 3600 });
  const [one, two, three] = await Promise.all([issue(), issue(), issue()]);
  expect(await listRevoked(paths)).toEqual([]);
  expect(await isRevoked(paths, one.keyId)).toBe(false);
  const { keyId, expiresAt } = one;
  expect(await revokeKey(paths, one.keyId)).toEqual({ keyId, expiresAt });
  expect(await revokeKey(paths, one.key)).toEqual({ keyId, expiresAt });
  await revokeKey(paths, two.key);
  expect(await Promise.all([one, two, three].map((key) => isRevoked(paths, key.keyId)))).toEqual([
    true,
    true,
    false,
  ]);
  const listed = (await listRevoked(paths)).map((revoked) => revoked.keyId);
  expect(listed.toSorted()).toEqual([one.keyId, two.keyId].toSorted());
  expect((await stat(paths.revokedKey(one.keyId))).mode & 0o777).toBe(0o600);
});

test("many at once are all revoked", async () => {
  const paths = msbPaths(await tempDir());
  const ids = Array.from({ length: 20 }, () => newKeyId(soon()));
  await Promise.all(ids.map((id) => revokeKey(paths, id)));
  expect(await listRevoked(paths)).toHaveLength(20);
});

test("what is long expired is swept with the next revocation, all else is kept", async () => {
  const paths = msbPaths(await tempDir());
  const old = newKeyId(soon() - 3 * 24 * 3600);
  const justExpired = newKeyId(soon() - 2 * 3600);
  for (const id of [old, justExpired]) await revokeKey(paths, id);
  await writeFile(paths.revokedKey("a note of the user"), "");
  const later = await revokeKey(paths, newKeyId(soon()));
  expect((await listRevoked(paths)).map(({ keyId }) => keyId)).toEqual([justExpired, later.keyId]);
  expect(await readdir(paths.revokedKeyRoot)).toContain("a note of the user");
});

test.each(["", "x", "../server.key", "1-0123456789ABCDEF", "msb_", "msb_s3cret", "msb_a.s3cret.c"])(
  "%j is no key, and is not repeated",
  async (text) => {
    const paths = msbPaths(await tempDir());
    const error = await revokeKey(paths, text).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "MSB_ERR_INVALID_ARGUMENT" });
    expect(inspect(error)).not.toContain("s3cret");
    await expect(stat(paths.revokedKeyRoot)).rejects.toThrow("ENOENT");
  },
);

test("when it cannot be told whether a key is revoked, nobody is told that it is not", async () => {
  const paths = msbPaths(await tempDir());
  await writeFile(paths.revokedKeyRoot, "a file");
  const keyId = newKeyId(soon());
  await expect(isRevoked(paths, keyId)).rejects.toMatchObject({ code: "MSB_ERR_HOME_UNUSABLE" });
  await expect(listRevoked(paths)).rejects.toMatchObject({ code: "MSB_ERR_HOME_UNUSABLE" });
  const other = msbPaths(await tempDir());
  await mkdir(other.revokedKeyRoot);
  expect(await isRevoked(other, keyId)).toBe(false);
});
