/**
 * API keys that were taken back before their time: one empty file for each, named by the key's id. A file is there or
 * not, so that a running server sees a revocation with its next request, and two that revoke at once cannot undo
 * each other. What would have expired anyway is swept with the next revocation.
 */
import { access, readdir, rm } from "node:fs/promises";
import { MsbError } from "../../errors.js";
import type { MsbPaths } from "../../paths.js";
import { createFileAtomic } from "../../util/atomic-file.js";
import { errnoOf, fileError } from "../../util/file-error.js";
import { keyIdOf, looksLikeApiKey } from "./api-key.js";
import { expiryOfKeyId, isKeyId } from "./key-id.js";

/** Longer than the leeway that an expired key is given. */
const KEPT_AFTER_EXPIRY_MS = 24 * 3600 * 1000;

export interface RevokedKey {
  readonly keyId: string;
  /** When the key would have ended to be valid. */
  readonly expiresAt: Date;
}

/**
 * Takes a key back, for good. `key` is its id, or the key itself. Revoking twice is no error. Throws
 * MSB_ERR_INVALID_ARGUMENT for what is neither, and what `fileError` gives.
 */
export async function revokeKey(paths: MsbPaths, key: string): Promise<RevokedKey> {
  const keyId = checkedId(key);
  await sweepExpired(paths);
  const path = paths.revokedKey(keyId);
  await createFileAtomic(path, "", { mode: 0o600 }).catch((error: unknown) => {
    throw fileError(error, path, "created");
  });
  return { keyId, expiresAt: expiryOfKeyId(keyId) };
}

/** Sorted by the time at which they would have ended. */
export async function listRevoked(paths: MsbPaths): Promise<readonly RevokedKey[]> {
  const names = await readdir(paths.revokedKeyRoot).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return [];
    throw fileError(error, paths.revokedKeyRoot, "read");
  });
  return names
    .filter((name) => isKeyId(name))
    .map((keyId) => ({ keyId, expiresAt: expiryOfKeyId(keyId) }))
    .toSorted((a, b) => a.expiresAt.getTime() - b.expiresAt.getTime());
}

/** Throws what `fileError` gives when it cannot be told: a key that may be revoked is not let in. */
export async function isRevoked(paths: MsbPaths, keyId: string): Promise<boolean> {
  const path = paths.revokedKey(keyId);
  try {
    await access(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw fileError(error, path, "read");
  }
}

function checkedId(key: string): string {
  if (isKeyId(key)) return key;
  if (!looksLikeApiKey(key)) {
    throw invalid("this is neither the id of a key, as keygen prints it, nor a key");
  }
  const keyId = keyIdOf(key);
  if (keyId === null) {
    throw invalid(
      "this key has no id, because another program issued it; a new server key (server start --reset-key) ends " +
        "all keys at once",
    );
  }
  return keyId;
}

/** What was given is not repeated: it may be a key. */
function invalid(why: string): MsbError {
  return new MsbError("MSB_ERR_INVALID_ARGUMENT", `The key cannot be revoked: ${why}.`, {
    details: { option: "revoke" },
  });
}

async function sweepExpired(paths: MsbPaths): Promise<void> {
  const limit = Date.now() - KEPT_AFTER_EXPIRY_MS;
  for (const { keyId, expiresAt } of await listRevoked(paths)) {
    if (expiresAt.getTime() < limit) await rm(paths.revokedKey(keyId), { force: true });
  }
}
