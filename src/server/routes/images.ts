/** Images: anybody with a key may look; only who may use all namespaces changes what all of them share. */
import {
  ImageList,
  ImageParams,
  ImageView,
  InspectedImageView,
  PullBody,
  PullRecord,
  RemovedImagesView,
  RemoveImageQuery,
} from "../../api/images.js";
import type { ImageInfo } from "../../oci/image.js";
import type { App, ServerContext } from "../context.js";
import { requireAnyNamespace } from "../namespace-access.js";
import { clientGone } from "../streams/client-gone.js";
import { streamFormat } from "../streams/format.js";
import { sendStream } from "../streams/send-stream.js";
import { API, FAILURES, streamContent } from "./common.js";
import { progressRecords } from "./progress-records.js";

const tags = ["images"];

export function imageRoutes(app: App, { images }: ServerContext): void {
  app.get(
    `${API}/images`,
    {
      schema: {
        summary: "Lists the images that are here",
        tags,
        response: { 200: ImageList, ...FAILURES },
      },
    },
    async () => ({ images: (await images.list()).map((image) => imageView(image)) }),
  );

  app.get(
    `${API}/images/*`,
    {
      schema: {
        summary: "Shows one image, by a name or its digest",
        tags,
        params: ImageParams,
        response: { 200: InspectedImageView, ...FAILURES },
      },
    },
    async (request) => {
      const image = await images.inspect(request.params["*"]);
      return { ...imageView(image), manifest: image.manifest, rawConfig: image.rawConfig };
    },
  );

  app.post(
    `${API}/images/pull`,
    {
      schema: {
        summary: "Downloads an image and makes its disk",
        description:
          "Answers when it is done; with progress, record by record, when application/x-ndjson or " +
          "text/event-stream is accepted. Called off when its client goes away.",
        tags,
        body: PullBody,
        response: {
          200: {
            description: "The image, or how far its download is",
            content: {
              "application/json": { schema: ImageView },
              ...streamContent(PullRecord),
            },
          },
          ...FAILURES,
        },
      },
    },
    async (request, reply) => {
      requireAnyNamespace(request.principal, "Downloading an image");
      const { reference } = request.body;
      const signal = clientGone(reply);
      const format = streamFormat(request.headers.accept);
      if (format === null) return imageView(await images.pull(reference, { signal }));
      const records = progressRecords(async (onProgress) => {
        const image = await images.pull(reference, { signal, onProgress });
        return { type: "done", image: imageView(image) };
      });
      return sendStream(reply, records, { format, gone: signal });
    },
  );

  app.delete(
    `${API}/images/*`,
    {
      schema: {
        summary: "Takes a name from an image, and removes the image with its last one",
        tags,
        params: ImageParams,
        querystring: RemoveImageQuery,
        response: { 200: RemovedImagesView, ...FAILURES },
      },
    },
    async (request) => {
      requireAnyNamespace(request.principal, "Removing an image");
      const force = request.query.force ?? false;
      return (await images.remove([request.params["*"]], { force })) as RemovedImagesView;
    },
  );
}

/** Without the host's paths. */
function imageView(image: ImageInfo): ImageView {
  const { digest, names, platform, layers, storedBytes, disk, createdAt, taggedAt, config } = image;
  return {
    digest,
    names: [...names],
    platform,
    layers: layers.map(({ descriptor, diffId }) => ({
      mediaType: descriptor.mediaType,
      digest: descriptor.digest,
      sizeBytes: descriptor.size,
      diffId,
    })),
    storedBytes,
    diskBytes: disk?.sizeBytes ?? null,
    createdAt,
    taggedAt,
    config: config as ImageView["config"],
  };
}
