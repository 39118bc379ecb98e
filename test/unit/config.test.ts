import { describe, expect, it } from "vitest";
import { serverConfig, type ServerOpts } from "../../src/config.js";

describe("the configuration of a server", () => {
  it("has defaults, and cannot be changed", () => {
    const config = serverConfig({}, {});
    expect(config).toMatchObject({
      host: "127.0.0.1",
      port: 5555,
      isDev: false,
      keyFile: null,
      http: {
        maxBodyBytes: 16 * 1024 ** 2,
        maxOutputBytes: 32 * 1024 ** 2,
        allowedHosts: [],
        corsOrigins: [],
      },
      leaseMs: 600_000,
      bootTimeoutMs: 60_000,
      idleTimeoutMs: 0,
      maxLifetimeMs: 0,
      logLevel: "info",
      shutdown: "stop",
      hypervisor: { hypervisor: "auto" },
    });
    expect(config.budget.sandboxes).toBe(64);
    expect(config.budget.memoryMiB).toBeGreaterThan(0);
    expect(config.budget.vcpus % 8).toBe(0);
    for (const part of [config, config.http, config.budget, config.http.allowedHosts]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });

  it("takes what variables say, and options before variables", () => {
    const env = {
      MSB_HOST: "::1",
      MSB_PORT: "0",
      MSB_DEV: "true",
      MSB_KEY_FILE: "/k",
      MSB_ALLOWED_HOSTS: "a.example, b.example:8080,,a.example",
      MSB_CORS_ORIGINS: "*",
      MSB_MAX_BODY_MIB: "1",
      MSB_MAX_OUTPUT_MIB: "2",
      MSB_MAX_SANDBOXES: "3",
      MSB_MEMORY_BUDGET_MIB: "4",
      MSB_VCPU_BUDGET: "5",
      MSB_MAX_CONCURRENT_BOOTS: "6",
      MSB_LEASE_MS: "7000",
      MSB_BOOT_TIMEOUT_MS: "8000",
      MSB_IDLE_TIMEOUT_MS: "9",
      MSB_MAX_LIFETIME_MS: "10",
      MSB_LOG_LEVEL: "debug",
      MSB_SHUTDOWN: "detach",
      MSB_HYPERVISOR: "qemu",
    };
    expect(serverConfig({}, env)).toMatchObject({
      host: "::1",
      port: 0,
      isDev: true,
      keyFile: "/k",
      http: {
        maxBodyBytes: 1024 ** 2,
        maxOutputBytes: 2 * 1024 ** 2,
        allowedHosts: ["a.example", "b.example:8080"],
        corsOrigins: ["*"],
      },
      budget: { sandboxes: 3, memoryMiB: 4, vcpus: 5 },
      maxConcurrentBoots: 6,
      maxTemplates: 4,
      warmGuests: 0,
      leaseMs: 7_000,
      bootTimeoutMs: 8_000,
      idleTimeoutMs: 9,
      maxLifetimeMs: 10,
      logLevel: "debug",
      shutdown: "detach",
      hypervisor: { hypervisor: "qemu" },
    });
    const opts = { host: "0.0.0.0", port: "80", dev: false, allowedHosts: ["c"], shutdown: "stop" };
    expect(serverConfig(opts as ServerOpts, env)).toMatchObject({
      host: "0.0.0.0",
      port: 80,
      isDev: false,
      http: { allowedHosts: ["c"] },
      shutdown: "stop",
    });
  });

  it("takes an empty variable for one that is not set", () => {
    expect(serverConfig({}, { MSB_PORT: "", MSB_HOST: "", MSB_DEV: "" })).toMatchObject({
      host: "127.0.0.1",
      port: 5555,
      isDev: false,
    });
  });

  it("takes an IPv6 address also in brackets", () => {
    expect(serverConfig({ host: "[::1]" }, {}).host).toBe("::1");
  });

  it.each<[ServerOpts, Record<string, string>, string]>([
    [{ host: "localhost" }, {}, 'host (MSB_HOST) cannot be "localhost": use 127.0.0.1'],
    [{ host: "example.com" }, {}, "use an IP address"],
    [{}, { MSB_HOST: "1.2.3" }, "use an IP address"],
    [
      { port: "65536" },
      {},
      'port (MSB_PORT) cannot be "65536": use a whole number from 0 to 65535',
    ],
    [{ port: "-1" }, {}, "port (MSB_PORT)"],
    [{ port: "0x50" }, {}, "port (MSB_PORT)"],
    [{ port: "" }, {}, "port (MSB_PORT)"],
    [{}, { MSB_PORT: "5e3" }, "port (MSB_PORT)"],
    [{ maxSandboxes: 0 }, {}, "maxSandboxes (MSB_MAX_SANDBOXES)"],
    [{ maxBodyMiB: 1_000_000 }, {}, "maxBodyMiB (MSB_MAX_BODY_MIB)"],
    [{ idleTimeoutMs: 2 ** 31 }, {}, "idleTimeoutMs (MSB_IDLE_TIMEOUT_MS)"],
    [{ leaseMs: 0 }, {}, "leaseMs (MSB_LEASE_MS)"],
    [{}, { MSB_DEV: "maybe" }, "dev (MSB_DEV)"],
    [{}, { MSB_SHUTDOWN: "kill" }, 'shutdown (MSB_SHUTDOWN) cannot be "kill": use stop, detach'],
    [{}, { MSB_LOG_LEVEL: "loud" }, "logLevel (MSB_LOG_LEVEL)"],
    [{ allowedHosts: ["http://x"] }, {}, "allowedHosts (MSB_ALLOWED_HOSTS)"],
    [{ corsOrigins: ["app.example"] }, {}, "corsOrigins (MSB_CORS_ORIGINS)"],
  ])("refuses %j %j", (opts, env, message) => {
    expect(() => serverConfig(opts, env)).toThrow(
      expect.objectContaining({
        code: "MSB_ERR_INVALID_ARGUMENT",
        message: expect.stringContaining(message),
      }),
    );
  });
});
