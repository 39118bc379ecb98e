/** The server about itself: health, facts, its own API, numbers. */
import { Type } from "@sinclair/typebox";
import { HealthView, InfoView } from "../../api/info.js";
import { SANDBOX_STATES, type SandboxService, type ServiceStatus } from "../../sandbox/service.js";
import type { App, ServerContext } from "../context.js";
import { requireAnyNamespace, visibleNamespace } from "../namespace-access.js";
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
    async (request) => {
      const { budget, used, ...status } = sandboxes.status();
      const namespace = visibleNamespace(request.principal, undefined);
      const counts = namespace === undefined ? status.counts : countsIn(sandboxes, namespace);
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

/** By state. */
function countsIn(sandboxes: SandboxService, namespace: string): ServiceStatus["counts"] {
  const counts = Object.fromEntries(SANDBOX_STATES.map((state) => [state, 0]));
  for (const { state } of sandboxes.list({ namespace })) counts[state]! += 1;
  return counts as ServiceStatus["counts"];
}

function featuresOf(app: App): string[] {
  const mcp = app.hasRoute({ method: "POST", url: "/mcp" }) ? ["mcp"] : [];
  return ["rpc", ...mcp, "rest", "streams", "commands", "contexts", "images", "prometheus"];
}
