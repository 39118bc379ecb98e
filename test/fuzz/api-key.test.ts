/** Credentials from anybody: a key that was issued, or refused with the same few errors and not a word of what came. */
import { createHmac } from "node:crypto";
import { inspect } from "node:util";
import fc from "fast-check";
import { beforeAll, expect, it } from "vitest";
import { isMsbError, MsbError } from "../../src/errors.js";
import { msbPaths } from "../../src/paths.js";
import { issueApiKey, verifyApiKey } from "../../src/server/auth/api-key.js";
import { KeyAuthenticator } from "../../src/server/auth/key-authenticator.js";
import { revokeKey } from "../../src/server/auth/revocations.js";
import { ServerKey } from "../../src/server/auth/server-key.js";
import { tempDir } from "../helpers/temp-dir.js";

const RUNS = Math.ceil(Number(process.env["MSB_FUZZ_RUNS"] ?? 20_000) / 4);
const SECRET = "0123456789abcdefghijklmnopqrstuv";
const NAMESPACE = "team";

let serverKey: ServerKey;
let good: string;
beforeAll(async () => {
  serverKey = await ServerKey.of("/home/u/server.key", Buffer.from(SECRET));
  good = (await issueApiKey(serverKey, { namespace: NAMESPACE, lifetimeS: 3600 })).key;
});

const base64url = fc
  .string({ unit: "binary" })
  .map((text) => Buffer.from(text).toString("base64url"));

/** Pieces of keys and headers in any order. */
const header = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "Bearer ",
        "bearer ",
        " ",
        "msb_",
        ".",
        "..",
        "eyJhbGciOiJub25lIn0",
        "=",
        "\n",
        ",",
      ),
      base64url,
      fc.string({ maxLength: 8 }),
    ),
    { maxLength: 10 },
  )
  .map((pieces) => pieces.join(""));

/** A good key with something changed: where, to what, and how much is cut. */
const change = fc.record({
  at: fc.nat(400),
  to: fc.oneof(fc.constantFrom(".", "=", "", "A", "-", "_"), fc.string({ maxLength: 3 })),
  cut: fc.nat(3),
});

const claims = fc.oneof(
  fc.anything(),
  fc.record(
    { exp: fc.anything(), iat: fc.anything(), namespace: fc.anything(), jti: fc.anything() },
    { requiredKeys: [] },
  ),
  fc.record({ exp: fc.integer(), iat: fc.integer(), namespace: fc.string(), jti: fc.string() }),
);

function signed(payload: unknown, alg: string): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value) ?? "").toString("base64url");
  const text = `${encode({ typ: "JWT", alg })}.${encode(payload)}`;
  return `msb_${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

async function refusal(work: Promise<unknown>): Promise<MsbError | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (isMsbError(error, "MSB_ERR_UNAUTHENTICATED")) return error;
    throw error;
  }
}

it("whatever the headers hold is refused with one of two messages, or slowed down", async () => {
  const authenticator = new KeyAuthenticator(serverKey, msbPaths(await tempDir()));
  await fc.assert(
    fc.asyncProperty(header, fc.option(header), fc.string(), async (text, proxy, from) => {
      const headers = {
        authorization: text,
        ...(proxy === null ? {} : { proxyAuthorization: proxy }),
      };
      const error = await authenticator.authenticate(headers, from).then(
        () => undefined,
        (caught: unknown) => caught,
      );
      expect(error).toBeInstanceOf(MsbError);
      expect((error as MsbError).message).toMatch(
        /^(Invalid credentials|Invalid or expired token|Too many requests .*)$/,
      );
    }),
    { numRuns: RUNS },
  );
});

it("a key that was changed anywhere is refused, and no part of it is in the error", async () => {
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(change, async ({ at, to, cut }) => {
      const place = at % good.length;
      const key = good.slice(0, place) + to + good.slice(place + cut);
      fc.pre(key !== good);
      const error = await refusal(verifyApiKey(serverKey, key));
      expect(error === undefined).toBe(saysTheSame(key, good));
      refused += error === undefined ? 0 : 1;
      const shown = inspect(error, { depth: 9, showHidden: true });
      const parts = key.split(/[._]/).filter((part) => part.length > 8);
      expect(parts.filter((part) => shown.includes(part))).toEqual([]);
    }),
    { numRuns: RUNS },
  );
  expect(refused).toBeGreaterThan(RUNS / 2);
});

/** The last character of a signature holds bits that nobody reads, so that it has four spellings. */
function saysTheSame(key: string, other: string): boolean {
  const [text, signature] = halves(key);
  const [otherText, otherSignature] = halves(other);
  const bytes = (encoded: string) => Buffer.from(encoded, "base64url").toString("hex");
  return (
    text === otherText &&
    /^[\w-]{43}$/.test(signature) &&
    bytes(signature) === bytes(otherSignature)
  );
}

function halves(key: string): [string, string] {
  const at = key.lastIndexOf(".");
  return [key.slice(0, at), key.slice(at + 1)];
}

it("a signed token is taken only with the three claims, each of its kind", async () => {
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(
      claims,
      fc.constantFrom("HS256", "HS384", "none", "RS256"),
      async (payload, alg) => {
        const key = signed(payload, alg);
        const error = await refusal(verifyApiKey(serverKey, key, { now: new Date(0) }));
        if (error !== undefined) return;
        taken += 1;
        const told = JSON.parse(JSON.stringify(payload)) as Record<string, unknown>;
        expect(alg).toBe("HS256");
        expect([typeof told["exp"], typeof told["iat"], typeof told["namespace"]]).toEqual([
          "number",
          "number",
          "string",
        ]);
        expect(told["exp"]).toBeGreaterThan(-60);
      },
    ),
    { numRuns: RUNS },
  );
  expect(taken).toBeGreaterThan(RUNS / 100);
});

it("what is to be revoked is an id, a key or refused, and never a path", async () => {
  const paths = msbPaths(await tempDir());
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(header, fc.string(), fc.constantFrom("../x", "a/b", ".")),
      async (text) => {
        await expect(revokeKey(paths, text)).rejects.toMatchObject({
          code: "MSB_ERR_INVALID_ARGUMENT",
        });
      },
    ),
    { numRuns: Math.ceil(RUNS / 10) },
  );
});
