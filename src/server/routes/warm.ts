/** Makes ready what sandboxes start from, before there is one. */
import { WarmBody, WarmedView, WarmRecord } from "../../api/warm.js";
import type { WarmRequest } from "../../sandbox/service.js";
import type { App, ServerContext } from "../context.js";
import { requireAnyNamespace } from "../namespace-access.js";
import { clientGone } from "../streams/client-gone.js";
import { streamFormat } from "../streams/format.js";
import { sendStream } from "../streams/send-stream.js";
import { API, FAILURES, streamContent } from "./common.js";
import { progressRecords } from "./progress-records.js";

export function warmRoute(app: App, { sandboxes }: ServerContext): void {
  app.post(
    `${API}/images/warm`,
    {
      schema: {
        summary: "Makes ready what the next sandbox of an image and a size starts from",
        description:
          "A template, or a guest that runs ahead, as the server has them; the image is downloaded first. Answers " +
          "when it is there, at once when it was there before; with progress, record by record, when " +
          "application/x-ndjson or text/event-stream is accepted. Called off when its client goes away, unless " +
          "others wait for the same.",
        tags: ["images"],
        body: WarmBody,
        response: {
          200: {
            description: "What is ready, or how far it is",
            content: {
              "application/json": { schema: WarmedView },
              ...streamContent(WarmRecord),
            },
          },
          ...FAILURES,
        },
      },
    },
    async (request, reply) => {
      // Its memory is taken from all of them.
      requireAnyNamespace(request.principal, "Making a template");
      const wanted = request.body as WarmRequest;
      const signal = clientGone(reply);
      const format = streamFormat(request.headers.accept);
      if (format === null) return (await sandboxes.warm(wanted, { signal })) as WarmedView;
      const records = progressRecords(async (onProgress) => {
        const warmed = (await sandboxes.warm(wanted, { signal, onProgress })) as WarmedView;
        return { type: "done", warmed };
      });
      return sendStream(reply, records, { format, gone: signal });
    },
  );
}
