import type { FastifyInstance, HTTPMethods } from "fastify";
import { beforeEach, describe, expect, it } from "vitest";
import { resolveSpec } from "../../../src/sandbox/spec.js";
import { testApp } from "../../helpers/test-app.js";

interface Operation {
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly responses?: Readonly<Record<string, unknown>>;
  readonly security?: readonly unknown[];
}

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const NO_LIMITS = { idleTimeoutMs: 0, maxLifetimeMs: 0 };

let app: FastifyInstance;
let document: Document;
let operations: { readonly name: string; readonly operation: Operation }[];
beforeEach(async () => {
  ({ app } = await testApp({ config: { corsOrigins: ["https://app.example"] } }));
  document = (await app.inject({ url: "/api/v1/openapi.json" })).json();
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      operation,
    })),
  );
});

describe("the description of the API", () => {
  it("is OpenAPI 3.1", () => {
    expect(document.openapi).toBe("3.1.0");
  });

  it("says of every operation what it is for and what it answers", () => {
    const lacking = operations.filter(({ operation: { summary = "", tags, responses = {} } }) => {
      const isSummary = /^[A-Z].{10,}/.test(summary);
      return !isSummary || tags?.length !== 1 || !Object.keys(responses).some(isSuccess);
    });
    expect(lacking).toEqual([]);
  });

  it("names the one operation that needs no key", () => {
    const open = operations.filter(({ operation }) => operation.security?.length === 0);
    expect(open.map(({ name }) => name)).toEqual(["GET /api/v1/health"]);
  });

  it("tells the defaults and the least that a sandbox can have, as the service checks them", () => {
    const text = JSON.stringify(document.paths["/api/v1/sandboxes"]);
    const spec = resolveSpec({ image: "x" }, NO_LIMITS);
    expect(text).toContain(`Default ${spec.memoryMiB}, at least 64`);
    expect(text).toContain(`"Default ${spec.cpus}"`);
    expect(text).toContain(`Default ${spec.diskMiB}, at least 16`);
    expect(() => resolveSpec({ image: "x", memoryMiB: 64, diskMiB: 16 }, NO_LIMITS)).not.toThrow();
    expect(() => resolveSpec({ image: "x", memoryMiB: 63 }, NO_LIMITS)).toThrow(/memoryMiB/);
    expect(() => resolveSpec({ image: "x", diskMiB: 15 }, NO_LIMITS)).toThrow(/diskMiB/);
  });

  it("has exactly the routes of the application", async () => {
    const known = await knownRoutes(app);
    expect(known.length).toBeGreaterThan(20);
    expect(operations.map(({ name }) => name).toSorted()).toEqual(known.toSorted());
  });
});

const isSuccess = (status: string): boolean => /^20[014]$/.test(status);

/** As the router prints them, but for those that only refuse a method: what is left is what `Allow` says. */
async function knownRoutes(server: FastifyInstance): Promise<string[]> {
  const known: string[] = [];
  for (const { path, methods } of printedRoutes(server.printRoutes({ commonPrefix: false }))) {
    if (path === "*") continue;
    const allowed = methods.includes("TRACE") ? await allowedAt(server, path) : methods;
    for (const method of allowed) {
      if (method === "HEAD") continue;
      known.push(`${method} ${path.replace(/\*$/, "{name}").replaceAll(/:(\w+)/g, "{$1}")}`);
    }
  }
  return known;
}

async function allowedAt(server: FastifyInstance, path: string): Promise<string[]> {
  const answer = await server.inject({ method: "TRACE" as HTTPMethods as "GET", url: path });
  expect(answer.statusCode).toBe(405);
  return String(answer.headers["allow"]).split(", ");
}

/** The tree that `printRoutes` draws; each level is four characters deep. */
function printedRoutes(tree: string): { path: string; methods: string[] }[] {
  const above: string[] = [];
  return tree
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [, indent = "", part = "", methods = ""] =
        /^((?:[│ ] {3})*)[├└]── (\S+) \(([A-Z, ]+)\)/.exec(line) ?? [];
      const depth = indent.length / 4;
      above.length = depth;
      const parent = above.join("");
      above.push(part);
      const slash = part === "*" && parent !== "" ? "/" : "";
      return { path: parent + slash + part, methods: methods.split(", ") };
    });
}
