import { createHmac } from "node:crypto";
import { inspect } from "node:util";
import { beforeAll, describe, expect, it, test } from "vitest";
import type { MsbError } from "../../../../src/errors.js";
import { issueApiKey, keyIdOf, verifyApiKey } from "../../../../src/server/auth/api-key.js";
import { expiryOfKeyId, isKeyId } from "../../../../src/server/auth/key-id.js";
import { ServerKey } from "../../../../src/server/auth/server-key.js";

const SECRET = "0123456789abcdefghijklmnopqrstuv";
/** Of another maker, with this secret: exp 4102444800, iat 1750000000, namespace *. */
const WORKED_KEY =
  "msb_eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc1MDAwMDAwMCwibmFtZXNwYWNlIjoiKiJ9" +
  ".Vca9Ei70bBqxvGeW1oOOoPNwhZESGD4DgnOMMBJCtrU";

let serverKey: ServerKey;
beforeAll(async () => {
  serverKey = await ServerKey.of("/home/u/server.key", Buffer.from(SECRET));
});

const encode = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** Any token with a good signature. */
function signed(
  payload: unknown,
  header: unknown = { typ: "JWT", alg: "HS256" },
  hash = "sha256",
  secret = SECRET,
): string {
  const text = `${encode(header)}.${encode(payload)}`;
  return `msb_${text}.${createHmac(hash, secret).update(text).digest("base64url")}`;
}

const CLAIMS = { exp: 4_102_444_800, iat: 1_750_000_000, namespace: "a" };
const now = (seconds: number) => ({ now: new Date(seconds * 1000) });

function fault(key: string, at?: number): Promise<MsbError> {
  return verifyApiKey(serverKey, key, at === undefined ? {} : now(at)).then(
    () => Promise.reject(new Error("this was taken")),
    (error: unknown) => error as MsbError,
  );
}

test("a key of the old server is valid, and has no id", async () => {
  expect(await verifyApiKey(serverKey, WORKED_KEY)).toEqual({
    namespace: "*",
    keyId: null,
    expiresAt: new Date("2100-01-01T00:00:00Z"),
  });
});

describe("an issued key", () => {
  it("has the header and the claims of the wire, in their order, and an id", async () => {
    const issued = await issueApiKey(serverKey, {
      namespace: "team-1",
      lifetimeS: 3600,
      ...now(1_750_000_000.9),
    });
    const [header, payload] = issued.key.slice("msb_".length).split(".");
    const text = (part: string | undefined) => Buffer.from(part!, "base64url").toString();
    expect(text(header)).toBe('{"typ":"JWT","alg":"HS256"}');
    expect(text(payload)).toBe(
      `{"exp":1750003600,"iat":1750000000,"namespace":"team-1","jti":"${issued.keyId}"}`,
    );
    expect(issued).toMatchObject({
      namespace: "team-1",
      expiresAt: new Date(1_750_003_600_000),
    });
    expect(isKeyId(issued.keyId)).toBe(true);
    expect(keyIdOf(issued.key)).toBe(issued.keyId);
    expect(expiryOfKeyId(issued.keyId)).toEqual(issued.expiresAt);
    expect(await verifyApiKey(serverKey, issued.key, now(1_750_000_000))).toEqual({
      namespace: "team-1",
      keyId: issued.keyId,
      expiresAt: issued.expiresAt,
    });
  });

  it("is verified by the arithmetic of the wire alone", async () => {
    const { key } = await issueApiKey(serverKey, { namespace: "*", lifetimeS: 60 });
    const [header, payload, signature] = key.slice("msb_".length).split(".");
    expect(createHmac("sha256", SECRET).update(`${header}.${payload}`).digest("base64url")).toBe(
      signature,
    );
  });

  it("is for a namespace that can be", async () => {
    for (const namespace of ["", "-a", "a b", "a/b", "*a", "a".repeat(64), "ä"]) {
      await expect(issueApiKey(serverKey, { namespace, lifetimeS: 60 })).rejects.toMatchObject({
        code: "MSB_ERR_INVALID_ARGUMENT",
      });
    }
    for (const namespace of ["*", "a", "0_-", "a".repeat(63)]) {
      expect(await issueApiKey(serverKey, { namespace, lifetimeS: 60 })).toMatchObject({
        namespace,
      });
    }
  });
});

describe("the end of a key's life", () => {
  it("comes a minute late, for clocks that differ", async () => {
    const key = signed({ ...CLAIMS, exp: 2_000_000_000 });
    await expect(verifyApiKey(serverKey, key, now(2_000_000_059))).resolves.toBeDefined();
    expect((await fault(key, 2_000_000_061)).details).toEqual({
      wireCode: 1004,
      reason: "expired",
    });
  });

  it("is all that counts: a key issued in the future is valid", async () => {
    const key = signed({ ...CLAIMS, iat: 4_000_000_000 });
    await expect(verifyApiKey(serverKey, key, now(1_750_000_000))).resolves.toBeDefined();
  });
});

describe("a token that is not one of ours is refused", () => {
  const none = `msb_${encode({ typ: "JWT", alg: "none" })}.${encode(CLAIMS)}.`;
  it.each([
    ["no prefix", WORKED_KEY.slice(4), "malformed"],
    ["nothing behind the prefix", "msb_", "malformed"],
    ["no signature", WORKED_KEY.split(".").slice(0, 2).join("."), "malformed"],
    ["an empty signature", `${WORKED_KEY.split(".").slice(0, 2).join(".")}.`, "malformed"],
    ["a space in it", `${WORKED_KEY.slice(0, -4)} ${WORKED_KEY.slice(-4)}`, "malformed"],
    ["a line feed behind it", `${WORKED_KEY}\n`, "malformed"],
    ["padding", `${WORKED_KEY}=`, "malformed"],
    ["a short signature", WORKED_KEY.slice(0, -4), "signature"],
    ["another secret", signed(CLAIMS, undefined, "sha256", "x".repeat(32)), "signature"],
    ["algorithm none", none, "malformed"],
    ["algorithm HS512", signed(CLAIMS, { typ: "JWT", alg: "HS512" }, "sha512"), "malformed"],
    ["algorithm RS256", signed(CLAIMS, { typ: "JWT", alg: "RS256" }), "malformed"],
    ["no algorithm", signed(CLAIMS, { typ: "JWT" }), "malformed"],
    ["an extension", signed(CLAIMS, { alg: "HS256", crit: ["x"], x: 1 }), "malformed"],
    ["no exp", signed({ iat: 1, namespace: "a" }), "malformed"],
    ["no iat", signed({ exp: CLAIMS.exp, namespace: "a" }), "malformed"],
    ["no namespace", signed({ exp: CLAIMS.exp, iat: 1 }), "malformed"],
    ["exp as text", signed({ ...CLAIMS, exp: "4102444800" }), "malformed"],
    ["exp null", signed({ ...CLAIMS, exp: null }), "malformed"],
    ["namespace as a list", signed({ ...CLAIMS, namespace: ["*"] }), "malformed"],
    ["namespace null", signed({ ...CLAIMS, namespace: null }), "malformed"],
    ["claims that are a list", signed([CLAIMS]), "malformed"],
    ["claims that are no JSON", signed("{"), "malformed"],
    ["more than any key", `${signed(CLAIMS)}${"A".repeat(5000)}`, "malformed"],
  ])("%s", async (_what, key, reason) => {
    const error = await fault(key);
    expect(error).toMatchObject({
      code: "MSB_ERR_UNAUTHENTICATED",
      message: "Invalid or expired token",
      details: { wireCode: 1004, reason },
    });
  });

  it("and neither it nor the secret is in the error", async () => {
    for (const key of [signed({ ...CLAIMS, exp: 1 }), WORKED_KEY.slice(0, -4), signed("{")]) {
      const text = inspect(await fault(key), { depth: 9, showHidden: true });
      for (const part of key.slice(4).split(".").filter(Boolean)) expect(text).not.toContain(part);
      expect(text).not.toContain(SECRET);
    }
  });
});

test("an id that is none of ours is none", async () => {
  for (const jti of ["../../settings", "x", 5, null, "1-0123456789abcdeF"]) {
    const key = signed({ ...CLAIMS, jti });
    expect(await verifyApiKey(serverKey, key)).toMatchObject({ keyId: null });
    expect(keyIdOf(key)).toBeNull();
  }
});
