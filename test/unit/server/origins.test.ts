import { describe, expect, it } from "vitest";
import { isAllowedHost, isAllowedOrigin, type OriginRules } from "../../../src/server/origins.js";

const rules = (given: Partial<OriginRules> = {}): OriginRules => ({
  allowedHosts: [],
  corsOrigins: [],
  isDevMode: false,
  ...given,
});

describe("a Host header", () => {
  it.each([
    "localhost",
    "LOCALHOST:5555",
    "127.0.0.1:5555",
    "127.8.8.8",
    "[::1]:5555",
    "192.168.1.5:80",
    "10.0.0.1",
    "[2001:db8::1]",
  ])("%s is an address or loopback's name", (host) => {
    expect(isAllowedHost(host, rules())).toBe(true);
  });

  it.each([
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.example:5555",
    "0x7f.1",
    "2130706433",
    "localhost@evil.example",
    "evil.example:5555:localhost",
    "::1",
    "[evil.example]",
    "[::1",
    "",
    ":5555",
    "localhost:",
    "localhost:123456",
  ])("%j is not", (host) => {
    expect(isAllowedHost(host, rules())).toBe(false);
  });

  it("is fine when it is listed, for its port or for every port", () => {
    const listed = rules({ allowedHosts: ["Msb.example", "msb_server:5555"] });
    for (const host of ["msb.example", "MSB.EXAMPLE:80", "msb_server:5555"]) {
      expect(isAllowedHost(host, listed)).toBe(true);
    }
    for (const host of ["msb_server:80", "msb_server", "x.msb.example", "msb.example.org"]) {
      expect(isAllowedHost(host, listed)).toBe(false);
    }
  });
});

describe("an origin", () => {
  const host = "127.0.0.1:5555";

  it("is fine when it is the server's own", () => {
    expect(isAllowedOrigin("http://127.0.0.1:5555", host, rules())).toBe(true);
    expect(isAllowedOrigin("http://127.0.0.1:5556", host, rules())).toBe(false);
    expect(isAllowedOrigin("http://127.0.0.1", "127.0.0.1:80", rules())).toBe(true);
    expect(isAllowedOrigin("https://msb.example", "msb.example", rules())).toBe(true);
    expect(isAllowedOrigin("https://msb.example", "msb.example:443", rules())).toBe(true);
    expect(isAllowedOrigin("http://127.0.0.1:5555", undefined, rules())).toBe(false);
  });

  it("is fine when it is listed, or when all are", () => {
    const listed = rules({ corsOrigins: ["https://App.example", "http://localhost:3000"] });
    expect(isAllowedOrigin("https://app.example", host, listed)).toBe(true);
    expect(isAllowedOrigin("http://localhost:3000", host, listed)).toBe(true);
    expect(isAllowedOrigin("http://app.example", host, listed)).toBe(false);
    expect(isAllowedOrigin("https://app.example:444", host, listed)).toBe(false);
    expect(isAllowedOrigin("null", host, listed)).toBe(false);
    const all = rules({ corsOrigins: ["*"] });
    for (const origin of ["https://x.example", "null", "file://"]) {
      expect(isAllowedOrigin(origin, host, all)).toBe(true);
    }
  });

  it("of this host is fine in dev mode, unless others are listed", () => {
    const dev = rules({ isDevMode: true });
    for (const origin of ["http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]:1"]) {
      expect(isAllowedOrigin(origin, host, dev)).toBe(true);
      expect(isAllowedOrigin(origin, host, rules())).toBe(false);
      const listed = { ...dev, corsOrigins: ["https://app.example"] };
      expect(isAllowedOrigin(origin, host, listed)).toBe(false);
    }
    expect(isAllowedOrigin("https://evil.example", host, dev)).toBe(false);
  });

  it.each([
    "null",
    "",
    "file://",
    "http://evil.example/127.0.0.1:5555",
    "http://127.0.0.1:5555/",
    "http://x@127.0.0.1:5555",
    "http://127.0.0.1:5555.evil.example",
    "ftp://127.0.0.1:5555",
    "http://127.0.0.1:5555 http://evil.example",
    "chrome-extension://abc",
  ])("%j is nobody's", (origin) => {
    expect(isAllowedOrigin(origin, host, rules({ isDevMode: true }))).toBe(false);
  });
});
