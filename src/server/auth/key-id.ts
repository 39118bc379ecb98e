/**
 * `<end of the key's life, seconds since 1970 in base 36>-<16 hexadecimal digits>`. The time in it tells, from the id
 * alone, how long a revocation must be remembered.
 */
import { randomBytes } from "node:crypto";

const KEY_ID = /^([0-9a-z]{1,8})-[0-9a-f]{16}$/;

export function newKeyId(expiresAtS: number): string {
  return `${expiresAtS.toString(36)}-${randomBytes(8).toString("hex")}`;
}

/** Is this an id that `newKeyId` could have made? Such ids are safe as file names. */
export function isKeyId(text: unknown): text is string {
  return typeof text === "string" && KEY_ID.test(text);
}

/** When the key with this id ends to be valid. */
export function expiryOfKeyId(keyId: string): Date {
  const [, seconds] = KEY_ID.exec(keyId) ?? [];
  return new Date(Number.parseInt(seconds ?? "", 36) * 1000);
}
