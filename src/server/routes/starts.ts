/** Starts of sandboxes, with or without telling how far they are. */
import { randomBytes } from "node:crypto";
import { DEFAULT_NAMESPACE } from "../../api/names.js";
import {
  CreateSandboxBody,
  SandboxParams,
  type SandboxSpecBody,
  SandboxView,
  StartRecord,
  StartSandboxBody,
} from "../../api/sandboxes.js";
import type { SandboxInfo, SandboxKey, SandboxSpecOpts } from "../../sandbox/service.js";
import type { OnProgress } from "../../util/progress.js";
import { ANY_NAMESPACE, type Principal } from "../auth/authenticator.js";
import type { App, ServerContext } from "../context.js";
import { logSandbox } from "../logging.js";
import { requireNamespace } from "../namespace-access.js";
import { clientGone } from "../streams/client-gone.js";
import { streamFormat, type StreamRecord } from "../streams/format.js";
import { sendStream } from "../streams/send-stream.js";
import { API, checkKey, FAILURES, ONE_SANDBOX, sandboxKey, streamContent } from "./common.js";
import { progressRecords } from "./progress-records.js";

const tags = ["sandboxes"];
const WITH_PROGRESS =
  "When application/x-ndjson or text/event-stream is accepted, the answer is 200 and tells record by record how far " +
  "the image is; the last one is `done` with the sandbox, or `failure`.";

export function startRoutes(app: App, { sandboxes }: ServerContext): void {
  app.post(
    `${API}/sandboxes`,
    {
      schema: {
        summary: "Creates a sandbox and starts it; answers when it is ready",
        description:
          "One that fails leaves no sandbox. Called off when its client goes away: a name that was made up would " +
          `never be known. ${WITH_PROGRESS}`,
        tags,
        body: CreateSandboxBody,
        response: {
          200: { description: "How far the start is", content: streamContent(StartRecord) },
          201: SandboxView,
          ...FAILURES,
        },
      },
    },
    async (request, reply) => {
      const { namespace, name, ...spec } = request.body;
      const key = newKey(request.principal, { namespace, name });
      logSandbox(request, key.namespace, key.name);
      const signal = clientGone(reply);
      const format = streamFormat(request.headers.accept);
      if (format !== null) {
        const records = startRecords((onProgress) =>
          sandboxes.create(key, specOf(spec), { signal, onProgress }),
        );
        return sendStream(reply, records, { format, gone: signal });
      }
      const info = await sandboxes.create(key, specOf(spec), { signal });
      return reply
        .code(201)
        .header("location", `${API}/sandboxes/${key.namespace}/${key.name}`)
        .send(info as SandboxView);
    },
  );

  app.post(
    `${ONE_SANDBOX}/start`,
    {
      schema: {
        summary: "Starts a sandbox with what is stored, or with a new specification",
        description:
          "One that runs is left as it is. A start whose client goes away goes on; who asks again waits for it. " +
          WITH_PROGRESS,
        tags,
        params: SandboxParams,
        body: StartSandboxBody,
        response: {
          200: {
            description: "The sandbox, or how far its start is",
            content: {
              "application/json": { schema: SandboxView },
              ...streamContent(StartRecord),
            },
          },
          ...FAILURES,
        },
      },
    },
    async (request, reply) => {
      const key = sandboxKey(request);
      const spec = request.body ? specOf(request.body) : null;
      const format = streamFormat(request.headers.accept);
      if (format === null) return (await sandboxes.start(key, spec)) as SandboxView;
      const records = startRecords((onProgress) => sandboxes.start(key, spec, { onProgress }));
      return sendStream(reply, records, { format, gone: clientGone(reply) });
    },
  );
}

function startRecords(
  start: (onProgress: OnProgress) => Promise<SandboxInfo>,
): AsyncIterable<StreamRecord> {
  return progressRecords(async (onProgress) => {
    const sandbox = (await start(onProgress)) as SandboxView;
    return { type: "done", sandbox };
  });
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
