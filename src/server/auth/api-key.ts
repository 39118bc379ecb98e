/** API keys: `msb_` and a JWT that the server's key signs. What is in them: the one namespace they are for. */
import { decodeJwt, errors, jwtVerify, SignJWT } from "jose";
import { namespaceProblem } from "../../api/names.js";
import { MsbError } from "../../errors.js";
import { ANY_NAMESPACE, type Principal } from "./authenticator.js";
import { isKeyId, newKeyId } from "./key-id.js";
import type { ServerKey } from "./server-key.js";

const PREFIX = "msb_";
/** Exactly so: decoders of base64url pass over spaces, and a key shall have one spelling. */
const KEY = /^msb_[\w-]+\.[\w-]+\.[\w-]+$/;
/** A key of ours has 270 characters and its namespace. */
const MAX_KEY_LENGTH = 4096;
/** Clocks of two hosts may differ by so much. */
const LEEWAY_S = 60;

export interface IssuedKey {
  /** The secret; shown once and kept nowhere. */
  readonly key: string;
  /** Names the key in logs and in revocations. */
  readonly keyId: string;
  readonly namespace: string;
  readonly expiresAt: Date;
}

export interface IssueKeyOpts {
  /** `*` for all namespaces. */
  readonly namespace: string;
  readonly lifetimeS: number;
  readonly now?: Date;
}

export type VerifiedKey = Principal & { readonly expiresAt: Date };

/** Throws MSB_ERR_INVALID_ARGUMENT for a namespace that cannot be. */
export async function issueApiKey(serverKey: ServerKey, opts: IssueKeyOpts): Promise<IssuedKey> {
  const { namespace, lifetimeS, now = new Date() } = opts;
  if (namespace !== ANY_NAMESPACE && namespaceProblem(namespace) !== null) {
    throw new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `The namespace ${JSON.stringify(namespace.slice(0, 80))} cannot be: use up to 63 letters, digits, hyphens and ` +
        "underscores, the first a letter or digit, or * for all namespaces.",
      { details: { option: "namespace" } },
    );
  }
  const iat = Math.floor(now.getTime() / 1000);
  const exp = iat + lifetimeS;
  const keyId = newKeyId(exp);
  const jwt = await new SignJWT({ exp, iat, namespace, jti: keyId })
    .setProtectedHeader({ typ: "JWT", alg: "HS256" })
    .sign(serverKey.hmacKey);
  return { key: PREFIX + jwt, keyId, namespace, expiresAt: new Date(exp * 1000) };
}

/** Has it the form by which keys are told from other credentials? */
export function looksLikeApiKey(text: string): boolean {
  return text.startsWith(PREFIX);
}

/**
 * Who has this key. Throws MSB_ERR_UNAUTHENTICATED for a key that is malformed, expired, or signed by another server
 * key. The signature is compared in constant time (an HMAC of Web Crypto), and first: nothing of a key without a
 * good one is looked at.
 */
export async function verifyApiKey(
  serverKey: ServerKey,
  key: string,
  opts: { readonly now?: Date } = {},
): Promise<VerifiedKey> {
  if (key.length > MAX_KEY_LENGTH || !KEY.test(key)) throw invalidToken("malformed");
  const verified = await jwtVerify(key.slice(PREFIX.length), serverKey.hmacKey, {
    algorithms: ["HS256"],
    requiredClaims: ["exp", "iat", "namespace"],
    clockTolerance: LEEWAY_S,
    ...(opts.now === undefined ? {} : { currentDate: opts.now }),
  }).catch((error: unknown) => {
    throw invalidToken(reasonOf(error));
  });
  const { exp, namespace, jti } = verified.payload;
  if (typeof namespace !== "string" || exp === undefined) throw invalidToken("malformed");
  return { namespace, keyId: isKeyId(jti) ? jti : null, expiresAt: new Date(exp * 1000) };
}

/** The id in a key, which is not verified; null for a key without one. */
export function keyIdOf(key: string): string | null {
  try {
    const { jti } = decodeJwt(key.slice(PREFIX.length));
    return isKeyId(jti) ? jti : null;
  } catch {
    return null;
  }
}

export type TokenFault = "malformed" | "signature" | "expired" | "revoked";

/** The error of the wire for every key that is not valid. It has no cause: that of a library may quote the key. */
export function invalidToken(reason: TokenFault): MsbError {
  return new MsbError("MSB_ERR_UNAUTHENTICATED", "Invalid or expired token", {
    details: { wireCode: 1004, reason },
  });
}

function reasonOf(error: unknown): TokenFault {
  if (error instanceof errors.JWTExpired) return "expired";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "signature";
  return "malformed";
}
