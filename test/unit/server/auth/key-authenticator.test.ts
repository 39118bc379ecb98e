import { beforeEach, describe, expect, it, test, vi } from "vitest";
import type { MsbError } from "../../../../src/errors.js";
import { type MsbPaths, msbPaths } from "../../../../src/paths.js";
import { type IssuedKey, issueApiKey } from "../../../../src/server/auth/api-key.js";
import { KeyAuthenticator } from "../../../../src/server/auth/key-authenticator.js";
import { revokeKey } from "../../../../src/server/auth/revocations.js";
import { ServerKey } from "../../../../src/server/auth/server-key.js";
import { tempDir } from "../../../helpers/temp-dir.js";

let paths: MsbPaths;
let serverKey: ServerKey;
let issued: IssuedKey;
let authenticator: KeyAuthenticator;
beforeEach(async () => {
  paths = msbPaths(await tempDir());
  serverKey = await ServerKey.open(paths);
  issued = await issueApiKey(serverKey, { namespace: "a", lifetimeS: 60 });
  authenticator = new KeyAuthenticator(serverKey, paths);
});

const asked = (authorization?: string, proxyAuthorization?: string, from = "192.0.2.1") =>
  authenticator.authenticate(
    {
      ...(authorization === undefined ? {} : { authorization }),
      ...(proxyAuthorization === undefined ? {} : { proxyAuthorization }),
    },
    from,
  );

describe("a key", () => {
  it("comes with Bearer or alone, in Authorization or in Proxy-Authorization", async () => {
    const principal = { namespace: "a", keyId: issued.keyId };
    expect(await asked(`Bearer ${issued.key}`)).toEqual(principal);
    expect(await asked(issued.key)).toEqual(principal);
    expect(await asked(undefined, `Bearer ${issued.key}`)).toEqual(principal);
  });

  it("in Proxy-Authorization comes before any other", async () => {
    expect(await asked("garbage", issued.key)).toMatchObject({ namespace: "a" });
    await expect(asked(issued.key, "garbage")).rejects.toThrow("Invalid credentials");
  });

  it("is refused from the moment on in which it is revoked", async () => {
    await asked(issued.key);
    await revokeKey(paths, issued.keyId);
    await expect(asked(issued.key)).rejects.toMatchObject({
      code: "MSB_ERR_UNAUTHENTICATED",
      message: "Invalid or expired token",
      details: { wireCode: 1004, reason: "revoked" },
    });
    const other = await issueApiKey(serverKey, { namespace: "a", lifetimeS: 60 });
    await expect(asked(other.key)).resolves.toBeDefined();
  });
});

test.each([
  ["nothing", undefined, 1001, "Invalid credentials"],
  ["an empty header", "", 1001, "Invalid credentials"],
  ["Bearer alone", "Bearer ", 1001, "Invalid credentials"],
  ["another scheme", "Basic dTpw", 1001, "Invalid credentials"],
  ["a scheme in lower case", "bearer msb_x", 1001, "Invalid credentials"],
  ["two spaces", "Bearer  msb_x", 1001, "Invalid credentials"],
  ["no prefix", "Bearer eyJ0.eyJl.c2ln", 1001, "Invalid credentials"],
  ["a prefix alone", "Bearer msb_", 1004, "Invalid or expired token"],
  ["no token", "msb_x.y.z", 1004, "Invalid or expired token"],
])("%s is refused as the wire says", async (_what, header, wireCode, message) => {
  await expect(asked(header)).rejects.toMatchObject({
    code: "MSB_ERR_UNAUTHENTICATED",
    message,
    details: { wireCode },
  });
});

describe("who fails too often", () => {
  const limited = { code: "MSB_ERR_RATE_LIMITED" };
  const fail = (from?: string) => asked("msb_x", undefined, from);
  const failTimes = async (times: number, from?: string) => {
    for (let done = 0; done < times; done++) await expect(fail(from)).rejects.toThrow("Invalid");
  };

  it("is told to wait; a good key and other addresses pass", async () => {
    await failTimes(20);
    const error = await fail().catch((caught: unknown) => caught as MsbError);
    expect(error).toMatchObject(limited);
    const { retryAfterSeconds } = (error as MsbError).details;
    expect(retryAfterSeconds).toBeGreaterThan(0);
    expect(retryAfterSeconds).toBeLessThanOrEqual(60);
    await expect(asked(issued.key)).resolves.toBeDefined();
    await failTimes(1, "192.0.2.2");
  });

  it("is told so also when it has a whole network of addresses", async () => {
    for (let host = 1; host <= 20; host++) await failTimes(1, `2001:db8::${host.toString(16)}`);
    await expect(fail("2001:db8::ffff")).rejects.toMatchObject(limited);
  });

  it("may try again when the window is over", async () => {
    vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
    try {
      await failTimes(20);
      await expect(fail()).rejects.toMatchObject(limited);
      vi.advanceTimersByTime(60_001);
      await failTimes(20);
      await expect(fail()).rejects.toMatchObject(limited);
    } finally {
      vi.useRealTimers();
    }
  });

  it("is not counted for having no key at all", async () => {
    for (let done = 0; done < 30; done++) await expect(asked()).rejects.toThrow("Invalid cred");
  });

  it("from more addresses than are counted shares one count with the rest of them", async () => {
    authenticator = new KeyAuthenticator(serverKey, paths, {
      failureLimit: { failures: 2, addresses: 3 },
    });
    for (const host of [1, 2, 3, 4, 5]) await failTimes(1, `198.51.100.${host}`);
    await expect(fail("198.51.100.6")).rejects.toMatchObject(limited);
    await failTimes(1, "198.51.100.1");
    await expect(fail("198.51.100.1")).rejects.toMatchObject(limited);
  });
});

test("a key that may be revoked is not let in, and its owner is not blamed", async () => {
  authenticator = new KeyAuthenticator(serverKey, msbPaths("/dev/null"));
  for (let done = 0; done < 30; done++) {
    await expect(asked(issued.key)).rejects.toMatchObject({ code: "MSB_ERR_HOME_UNUSABLE" });
  }
});
