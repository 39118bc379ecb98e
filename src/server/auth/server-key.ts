/**
 * The secret that API keys are signed with: a file for its owner alone. It never comes by an argument or a variable,
 * where other programs could see it.
 */
import { randomInt, webcrypto } from "node:crypto";
import { MsbError } from "../../errors.js";
import type { MsbPaths } from "../../paths.js";
import { createFileAtomic, writeFileAtomic } from "../../util/atomic-file.js";
import { fileError } from "../../util/file-error.js";
import { readSmallFile, sharedSecret } from "../../util/small-file.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const GENERATED_LENGTH = 32;
/** HS256 is as strong as its key up to the size of the hash (RFC 7518, section 3.2). */
const MIN_BYTES = 32;
const MAX_BYTES = 4096;
const HMAC = { name: "HMAC", hash: "SHA-256" };

export interface ServerKeyOpts {
  /** Another file than that of MSB_HOME; it must be there. */
  readonly keyFile?: string | undefined;
}

export class ServerKey {
  readonly path: string;
  /** What its owner should know about the file; null for nothing. */
  readonly notice: string | null;
  /** Signs and verifies; the secret cannot be taken out of it. */
  readonly hmacKey: webcrypto.CryptoKey;

  private constructor(path: string, notice: string | null, hmacKey: webcrypto.CryptoKey) {
    this.path = path;
    this.notice = notice;
    this.hmacKey = hmacKey;
  }

  /**
   * Reads the key; that of MSB_HOME is made when it is missing. All bytes of the file are the secret, without
   * trimming. Throws MSB_ERR_KEY_FILE_INVALID for a file that is missing, empty, too short, too large or readable by
   * others, and what `fileError` gives for a folder that cannot be written.
   */
  static async open(paths: MsbPaths, opts: ServerKeyOpts = {}): Promise<ServerKey> {
    const path = opts.keyFile ?? paths.serverKeyFile;
    const key = await readKey(path);
    if (key !== undefined) return key;
    if (opts.keyFile !== undefined) {
      throw invalid(
        path,
        `is not there. Put ${MIN_BYTES} or more random characters in it with mode 0600, or leave the option out ` +
          `to have a key made in ${paths.serverKeyFile}`,
      );
    }
    // Whoever comes first makes it; all others take that one.
    await createFileAtomic(path, randomSecret(), { mode: 0o600 }).catch((error: unknown) => {
      throw fileError(error, path, "created");
    });
    const made = await readKey(path);
    if (made === undefined) throw invalid(path, "was deleted while it was made");
    return made;
  }

  static async of(path: string, secret: Uint8Array): Promise<ServerKey> {
    checkSecret(path, secret);
    const hmacKey = await webcrypto.subtle.importKey("raw", secret, HMAC, false, [
      "sign",
      "verify",
    ]);
    const endsInLineFeed = secret.at(-1) === 0x0a;
    const notice = endsInLineFeed
      ? `The server key in ${path} ends in a line feed, which is part of the key: keys of a server that was ` +
        "given the same text without it are not valid here."
      : null;
    return new ServerKey(path, notice, hmacKey);
  }
}

/**
 * Replaces the key by `secret`, or by a new random one. Every API key that was issued before is invalid for servers
 * that start from now on. Throws as `ServerKey.open`.
 */
export async function resetServerKey(
  paths: MsbPaths,
  opts: ServerKeyOpts & { readonly secret?: Uint8Array } = {},
): Promise<ServerKey> {
  const path = opts.keyFile ?? paths.serverKeyFile;
  const secret = opts.secret ?? Buffer.from(randomSecret());
  const key = await ServerKey.of(path, secret);
  await writeFileAtomic(path, secret, { mode: 0o600 }).catch((error: unknown) => {
    throw fileError(error, path, "written");
  });
  return key;
}

async function readKey(path: string): Promise<ServerKey | undefined> {
  const file = await readSmallFile(path, MAX_BYTES).catch((error: unknown) => {
    throw asKeyFileError(error, path);
  });
  if (file === undefined) return undefined;
  if (file.isShared) throw asKeyFileError(sharedSecret(path, "the server's key"), path);
  return ServerKey.of(path, file.bytes);
}

function checkSecret(path: string, secret: Uint8Array): void {
  if (secret.length < MIN_BYTES) {
    const size = secret.length === 0 ? "is empty" : `has only ${secret.length} bytes`;
    throw invalid(path, `${size}; a server key needs ${MIN_BYTES}, which cannot be guessed`);
  }
  if (secret.length > MAX_BYTES) throw invalid(path, `has more than ${MAX_BYTES} bytes`);
}

function randomSecret(): string {
  return Array.from({ length: GENERATED_LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join(
    "",
  );
}

function asKeyFileError(error: unknown, path: string): unknown {
  if (!(error instanceof MsbError)) return error;
  return new MsbError("MSB_ERR_KEY_FILE_INVALID", error.message, {
    cause: error.cause,
    details: { path },
  });
}

function invalid(path: string, why: string): MsbError {
  return new MsbError("MSB_ERR_KEY_FILE_INVALID", `The file ${path} ${why}.`, {
    details: { path },
  });
}
