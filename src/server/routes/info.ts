/** The server about itself: health, facts, its own API, numbers. */
import { Type } from "@sinclair/typebox";
import { HealthView, InfoView } from "../../api/info.js";
import type { App, ServerContext } from "../context.js";
import { requireAnyNamespace } from "../namespace-access.js";
import { API, FAILURES } from "./common.js";

const tags = ["server"];

export function infoRoutes(app: App, context: ServerContext): void {
  const { sandboxes, hypervisor, config, version, metrics } = context;

  app.get(
    `${API}/health`,
    {
      config: { public: true },
      schema: { summary: "Tells that the server is there", tags, response: { 200: HealthView } },
    },
    async () => ({ message: "Service is healthy" as const }),
  );

  app.get(
    `${API}/info`,
    {
      schema: {
        summary: "Tells what the server is, what runs its VMs and how much it may use",
        tags,
        response: { 200: InfoView, ...FAILURES },
      },
    },
    async () => {
      const { counts, budget, used } = sandboxes.status();
      const { maxBodyBytes, maxOutputBytes } = config;
      return {
        version,
        nodeVersion: process.versions.node,
        platform: `${process.platform}/${process.arch}`,
        hypervisor: await hypervisor(),
        budget,
        used,
        counts,
        limits: { maxBodyBytes, maxOutputBytes },
        features: featuresOf(app),
      };
    },
  );

  app.get(
    `${API}/openapi.json`,
    {
      schema: {
        summary: "Describes this API (OpenAPI 3.1)",
        tags,
        response: { 200: Type.Unknown(), ...FAILURES },
      },
    },
    async () => app.swagger(),
  );

  app.get(
    "/metrics",
    {
      schema: {
        summary: "Numbers for Prometheus, in its text format",
        tags,
        produces: ["text/plain"],
        response: { 200: Type.String(), ...FAILURES },
      },
    },
    async (request, reply) => {
      requireAnyNamespace(request.principal, "Reading the metrics of all sandboxes");
      return reply.type(metrics.registry.contentType).send(await metrics.text(sandboxes));
    },
  );
}

function featuresOf(app: App): string[] {
  const mcp = app.hasRoute({ method: "POST", url: "/mcp" }) ? ["mcp"] : [];
  return ["rpc", ...mcp, "rest", "streams", "contexts", "images", "prometheus"];
}
