/** An npm registry on loopback with one package, and ways to misbehave. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { Header } from "tar";
import { onTestFinished } from "vitest";

export interface FakeRegistry {
  /** Variables that make npm's client use it, and nothing of this user's. */
  readonly env: Record<string, string>;
  readonly requests: IncomingMessage[];
  /** What is sent in place of the tarball; null stops after half of it and keeps the line open. */
  body: Buffer | null;
}

export const integrityOf = (bytes: Buffer): string =>
  `sha512-${createHash("sha512").update(bytes).digest("base64")}`;

/** A gzipped tar of these files. */
export function tarball(files: Readonly<Record<string, Buffer>>): Buffer {
  const parts = Object.entries(files).flatMap(([path, data]) => {
    const header = new Header({
      path,
      size: data.length,
      type: "File",
      mode: 0o644,
      mtime: new Date(0),
    });
    header.encode();
    return [header.block!, data, Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return gzipSync(Buffer.concat([...parts, Buffer.alloc(1024)]));
}

export async function startRegistry(
  home: string,
  pkg: { name: string; version: string; tarball: Buffer },
): Promise<FakeRegistry> {
  const requests: IncomingMessage[] = [];
  const state: { body: Buffer | null } = { body: pkg.tarball };
  const server = createServer((request, response) => {
    requests.push(request);
    const { port } = server.address() as AddressInfo;
    if (request.url?.endsWith(".tgz")) {
      response.writeHead(200, { "content-type": "application/octet-stream" });
      if (state.body === null) response.write(pkg.tarball.subarray(0, pkg.tarball.length / 2));
      else response.end(state.body);
      return;
    }
    const dist = {
      tarball: `http://127.0.0.1:${port}/files/p.tgz`,
      integrity: integrityOf(pkg.tarball),
    };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(
      JSON.stringify({
        name: pkg.name,
        "dist-tags": { latest: pkg.version },
        versions: { [pkg.version]: { name: pkg.name, version: pkg.version, dist } },
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return {
    env: {
      HOME: home,
      PATH: "/usr/bin:/bin",
      npm_config_registry: `http://127.0.0.1:${port}/`,
      npm_config_cache: `${home}/npm-cache`,
      npm_config_userconfig: `${home}/npmrc`,
      npm_config_globalconfig: `${home}/npmrc-global`,
      npm_config_fetch_retries: "0",
    },
    requests,
    get body() {
      return state.body;
    },
    set body(body) {
      state.body = body;
    },
  };
}
