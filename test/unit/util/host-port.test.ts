import { expect, test } from "vitest";
import { hostPort, isHostPort, isLoopbackHost } from "../../../src/util/host-port.js";

test.each([
  "a",
  "localhost",
  "registry.example",
  "a-b.c:5000",
  "127.0.0.1:1",
  "[::1]:65535",
  "[fe80::2]",
])("%s is a host with or without a port", (text) => expect(isHostPort(text)).toBe(true));

test.each([
  "",
  ":5000",
  "a:",
  "a:0",
  "a:65536",
  "a:1:2",
  "::1",
  "[::1",
  "[1.2.3.4]",
  "[fe80::1%eth0]",
  "-a",
  "a-.b",
  "a..b",
  "a.b.",
  "a/b",
  "user@host",
  "https://a",
  "a_b.c",
  "a".repeat(300),
])("%j is none", (text) => expect(isHostPort(text)).toBe(false));

test.each([
  "localhost",
  "LOCALHOST:5000",
  "127.0.0.1",
  "127.9.9.9:80",
  "[::1]:5000",
  "::1",
  "[0:0:0:0:0:0:0:1]",
])("%s is this machine", (host) => expect(isLoopbackHost(host)).toBe(true));

test.each([
  "localhost.example",
  "a.localhost",
  "127.example",
  "127.0.0.1.example:80",
  "128.0.0.1",
  "[::2]",
  "::11",
  "[fe80::1]",
  "0.0.0.0",
  "",
])("%j may be another one", (host) => expect(isLoopbackHost(host)).toBe(false));

test("an address and a port are put together, IPv6 in brackets", () => {
  expect(hostPort("127.0.0.1", 5555)).toBe("127.0.0.1:5555");
  expect(hostPort("::1", 80)).toBe("[::1]:80");
});
