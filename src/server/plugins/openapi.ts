/** The description of the API, made of the schemas of the routes. */
import swagger from "@fastify/swagger";
import type { FastifyInstance, FastifySchema } from "fastify";

/** Call it before any route is registered. */
export async function describeApi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "msb-ts",
        description: "Real microVMs for code nobody trusts.",
        version,
        license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      },
      components: {
        securitySchemes: { key: { type: "http", scheme: "bearer", description: "msb_…" } },
      },
      security: [{ key: [] }],
    },
    transform: ({ schema, url, route }) => ({
      schema: withSecurity(namedWildcard(schema, url), route.config?.public === true),
      url: url.replace(/\/\*$/, "/:name"),
    }),
  });
}

/** OpenAPI knows no wildcard; what it stands for is called `name`, slashes and all. */
function namedWildcard(schema: FastifySchema, url: string): FastifySchema {
  if (!url.endsWith("/*")) return schema;
  const name = { type: "string", description: "With its slashes" };
  return { ...schema, params: { type: "object", required: ["name"], properties: { name } } };
}

function withSecurity(schema: FastifySchema, isPublic: boolean): FastifySchema {
  return isPublic ? { ...schema, security: [] } : schema;
}
