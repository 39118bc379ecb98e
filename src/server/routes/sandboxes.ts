/** Sandboxes: listed, looked at, stopped, removed. */
import {
  ListSandboxesQuery,
  MetricsView,
  RemoveSandboxQuery,
  SandboxPage,
  SandboxParams,
  SandboxView,
  StopSandboxBody,
} from "../../api/sandboxes.js";
import type { App, ServerContext } from "../context.js";
import { visibleNamespace } from "../namespace-access.js";
import { clientGone } from "../streams/client-gone.js";
import { API, FAILURES, NoContent, ONE_SANDBOX, sandboxKey } from "./common.js";
import { filterOf, pageOf } from "./sandbox-list.js";

const tags = ["sandboxes"];

export function sandboxRoutes(app: App, { sandboxes }: ServerContext): void {
  app.get(
    `${API}/sandboxes`,
    {
      schema: {
        summary: "Lists sandboxes, sorted by namespace and name",
        tags,
        querystring: ListSandboxesQuery,
        response: { 200: SandboxPage, ...FAILURES },
      },
    },
    async (request) => {
      const { query, principal } = request;
      const namespace = visibleNamespace(principal, query.namespace);
      return pageOf(sandboxes.list(filterOf(query, namespace)), query) as SandboxPage;
    },
  );

  app.get(
    ONE_SANDBOX,
    {
      schema: {
        summary: "Shows one sandbox",
        tags,
        params: SandboxParams,
        response: { 200: SandboxView, ...FAILURES },
      },
    },
    async (request) => sandboxes.get(sandboxKey(request)) as SandboxView,
  );

  app.post(
    `${ONE_SANDBOX}/stop`,
    {
      schema: {
        summary: "Stops a sandbox; answers when its VM is gone",
        description: "Stopping one that does not run is no error.",
        tags,
        params: SandboxParams,
        body: StopSandboxBody,
        response: { 200: SandboxView, ...FAILURES },
      },
    },
    async (request) => {
      const graceMs = request.body?.graceMs;
      const opts = graceMs === undefined ? {} : { graceMs };
      return (await sandboxes.stop(sandboxKey(request), opts)) as SandboxView;
    },
  );

  app.delete(
    ONE_SANDBOX,
    {
      schema: {
        summary: "Removes a sandbox and its disk",
        tags,
        params: SandboxParams,
        querystring: RemoveSandboxQuery,
        response: { 204: NoContent, ...FAILURES },
      },
    },
    async (request, reply) => {
      await sandboxes.remove(sandboxKey(request), { force: request.query.force ?? false });
      return reply.code(204).send(null);
    },
  );

  app.get(
    `${ONE_SANDBOX}/metrics`,
    {
      schema: {
        summary: "Shows what a sandbox uses, on the host and as its guest sees it",
        tags,
        params: SandboxParams,
        response: { 200: MetricsView, ...FAILURES },
      },
    },
    async (request, reply) => sandboxes.metrics(sandboxKey(request), { signal: clientGone(reply) }),
  );
}
