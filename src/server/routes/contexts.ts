/** Contexts: interpreters of a sandbox, each with its own state. */
import {
  ContextList,
  ContextParams,
  ContextView,
  CreateContextBody,
  Interrupted,
} from "../../api/code.js";
import { SandboxParams } from "../../api/sandboxes.js";
import type { CreateContextOpts } from "../../sandbox/service.js";
import type { App, ServerContext } from "../context.js";
import { FAILURES, NoContent, ONE_SANDBOX, sandboxKey } from "./common.js";

const tags = ["code"];
const CONTEXTS = `${ONE_SANDBOX}/contexts`;

export function contextRoutes(app: App, { sandboxes }: ServerContext): void {
  app.get(
    CONTEXTS,
    {
      schema: {
        summary: "Lists the contexts of a sandbox",
        tags,
        params: SandboxParams,
        response: { 200: ContextList, ...FAILURES },
      },
    },
    async (request) =>
      ({ contexts: sandboxes.contexts(sandboxKey(request)) }) as unknown as ContextList,
  );

  app.post(
    CONTEXTS,
    {
      schema: {
        summary: "Creates a context",
        tags,
        params: SandboxParams,
        body: CreateContextBody,
        response: { 201: ContextView, ...FAILURES },
      },
    },
    async (request, reply) => {
      const { language, workdir, env } = request.body;
      const opts: CreateContextOpts = {
        language,
        ...(workdir === undefined ? {} : { workdir }),
        ...(env === undefined ? {} : { env }),
      };
      const context = await sandboxes.createContext(sandboxKey(request), opts);
      return reply.code(201).send(context as ContextView);
    },
  );

  app.post(
    `${CONTEXTS}/:id/restart`,
    {
      schema: {
        summary: "Ends the interpreter of a context; its next code gets a new one",
        tags,
        params: ContextParams,
        response: { 200: ContextView, ...FAILURES },
      },
    },
    async (request) =>
      (await sandboxes.restartContext(sandboxKey(request), request.params.id)) as ContextView,
  );

  app.post(
    `${CONTEXTS}/:id/interrupt`,
    {
      schema: {
        summary: "Interrupts what runs in a context, as Ctrl-C would",
        tags,
        params: ContextParams,
        response: { 200: Interrupted, ...FAILURES },
      },
    },
    async (request) => ({
      interrupted: await sandboxes.interruptCode(sandboxKey(request), request.params.id),
    }),
  );

  app.delete(
    `${CONTEXTS}/:id`,
    {
      schema: {
        summary: "Deletes a context and its interpreter",
        tags,
        params: ContextParams,
        response: { 204: NoContent, ...FAILURES },
      },
    },
    async (request, reply) => {
      await sandboxes.deleteContext(sandboxKey(request), request.params.id);
      return reply.code(204).send(null);
    },
  );
}
