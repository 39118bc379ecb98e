/** Sandboxes: created, listed, started, stopped, removed. */
import { randomBytes } from "node:crypto";
import { DEFAULT_NAMESPACE } from "../../api/names.js";
import {
  CreateSandboxBody,
  ListSandboxesQuery,
  MetricsView,
  RemoveSandboxQuery,
  SandboxPage,
  SandboxParams,
  type SandboxSpecBody,
  SandboxView,
  StartSandboxBody,
  StopSandboxBody,
} from "../../api/sandboxes.js";
import type { SandboxKey, SandboxSpecOpts } from "../../sandbox/service.js";
import { ANY_NAMESPACE, type Principal } from "../auth/authenticator.js";
import type { App, ServerContext } from "../context.js";
import { logSandbox } from "../logging.js";
import { requireNamespace, visibleNamespace } from "../namespace-access.js";
import { clientGone } from "../streams/client-gone.js";
import { API, checkKey, FAILURES, NoContent, ONE_SANDBOX, sandboxKey } from "./common.js";
import { filterOf, pageOf } from "./sandbox-list.js";

const tags = ["sandboxes"];

export function sandboxRoutes(app: App, { sandboxes }: ServerContext): void {
  app.post(
    `${API}/sandboxes`,
    {
      schema: {
        summary: "Creates a sandbox and starts it; answers when it is ready",
        description:
          "Called off when its client goes away: a name that was made up would never be known.",
        tags,
        body: CreateSandboxBody,
        response: { 201: SandboxView, ...FAILURES },
      },
    },
    async (request, reply) => {
      const { namespace, name, ...spec } = request.body;
      const key = newKey(request.principal, { namespace, name });
      logSandbox(request, key.namespace, key.name);
      const signal = clientGone(reply);
      const info = await sandboxes.create(key, specOf(spec), { signal });
      return reply
        .code(201)
        .header("location", `${API}/sandboxes/${key.namespace}/${key.name}`)
        .send(info as SandboxView);
    },
  );

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
    `${ONE_SANDBOX}/start`,
    {
      schema: {
        summary: "Starts a sandbox with what is stored, or with a new specification",
        description:
          "One that runs is left as it is. A start whose client goes away goes on; who asks again waits for it.",
        tags,
        params: SandboxParams,
        body: StartSandboxBody,
        response: { 200: SandboxView, ...FAILURES },
      },
    },
    async (request) => {
      const spec = request.body ?? null;
      return (await sandboxes.start(sandboxKey(request), spec && specOf(spec))) as SandboxView;
    },
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

/** A key for one namespace makes sandboxes there; a name that was not given is new. */
function newKey(
  principal: Principal,
  given: { readonly namespace: string | undefined; readonly name: string | undefined },
): SandboxKey {
  const own = principal.namespace === ANY_NAMESPACE ? DEFAULT_NAMESPACE : principal.namespace;
  const namespace = given.namespace ?? own;
  const name = given.name ?? `sandbox-${randomBytes(4).toString("hex")}`;
  checkKey({ namespace, name });
  requireNamespace(principal, namespace);
  return { namespace, name };
}

/** Members that are not there stay away, so that the service's defaults are the only ones. */
function specOf(body: SandboxSpecBody): SandboxSpecOpts {
  const given = Object.entries(body).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as unknown as SandboxSpecOpts;
}
