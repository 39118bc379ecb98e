/** The server's application on sandboxes and images in memory. */
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { onTestFinished } from "vitest";
import { MsbError } from "../../src/errors.js";
import { buildApp } from "../../src/server/app.js";
import type { Authenticator, Principal } from "../../src/server/auth/authenticator.js";
import type { AppDeps, ServerConfig } from "../../src/server/deps.js";
import { openServerLog } from "../../src/server/process/server-log.js";
import { FakeImages } from "./fake-images.js";
import { FakeSandboxes } from "./fake-sandboxes.js";

export interface TestApp {
  readonly app: FastifyInstance;
  readonly sandboxes: FakeSandboxes;
  readonly images: FakeImages;
  /** What was logged, as text. */
  readonly log: string[];
}

export type TestAppOpts = Partial<Omit<AppDeps, "config">> & {
  readonly config?: Partial<ServerConfig>;
};

/** Keys are `msb_<namespace>`; anything else is refused as the real one does. */
export const NAMESPACE_KEYS: Authenticator = {
  async authenticate({ authorization, proxyAuthorization }): Promise<Principal> {
    const key = (proxyAuthorization ?? authorization)?.replace(/^Bearer /, "");
    if (!key?.startsWith("msb_")) throw refused(1001, "Invalid credentials");
    if (key === "msb_") throw refused(1004, "Invalid or expired token");
    return { namespace: key.slice(4), keyId: "test-key" };
  },
};

export const bearer = (namespace: string): { authorization: string } => ({
  authorization: `Bearer msb_${namespace}`,
});

/** Closed after the test. */
export async function testApp(opts: TestAppOpts = {}): Promise<TestApp> {
  const sandboxes = new FakeSandboxes();
  const images = new FakeImages();
  const log: string[] = [];
  const { config, ...deps } = opts;
  const app = await buildApp({
    sandboxes,
    images,
    hypervisor: async () => ({
      driver: "qemu",
      reason: "there is no /dev/kvm",
      isConfirmed: true,
      kernelVersion: "6.12.1",
    }),
    logger: openServerLog({
      level: "debug",
      format: "json",
      target: { write: (line) => log.push(line) },
    }),
    version: "1.2.3",
    authenticator: null,
    ...deps,
    config: {
      maxBodyBytes: 16 * 1024 * 1024,
      maxOutputBytes: 64 * 1024 * 1024,
      allowedHosts: [],
      corsOrigins: [],
      ...config,
    },
  });
  onTestFinished(async () => {
    app.server.closeAllConnections();
    await app.close();
  });
  return { app, sandboxes: (deps.sandboxes as FakeSandboxes) ?? sandboxes, images, log };
}

/** The same, listening on loopback. */
export async function listeningApp(opts: TestAppOpts = {}): Promise<TestApp & { port: number }> {
  const test = await testApp(opts);
  await test.app.listen({ host: "127.0.0.1", port: 0 });
  return { ...test, port: (test.app.server.address() as AddressInfo).port };
}

function refused(wireCode: number, message: string): MsbError {
  return new MsbError("MSB_ERR_UNAUTHENTICATED", message, { details: { wireCode } });
}
