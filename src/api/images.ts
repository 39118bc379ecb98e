/** Images on the wire. Paths of the host are not in it. */
import { type Static, Type } from "@sinclair/typebox";
import { Closed, Nullable, StreamFailure, StringUnion, Timestamp } from "./schema.js";

export const ImageView = Type.Object({
  digest: Type.String({ description: "Of the manifest for one platform" }),
  names: Type.Array(Type.String()),
  platform: Type.Object({
    os: Type.String(),
    architecture: Type.String(),
    variant: Type.Optional(Type.String()),
  }),
  layers: Type.Array(
    Type.Object({
      mediaType: Type.String(),
      digest: Type.String(),
      sizeBytes: Type.Number(),
      diffId: Type.String(),
    }),
    { description: "Lowest first" },
  ),
  storedBytes: Type.Number(),
  diskBytes: Nullable(Type.Number(), { description: "null while it has no disk to boot" }),
  createdAt: Nullable(Timestamp),
  taggedAt: Nullable(Timestamp),
  config: Type.Object({
    user: Type.String(),
    env: Type.Array(Type.String()),
    entrypoint: Type.Array(Type.String()),
    cmd: Type.Array(Type.String()),
    workingDir: Type.String(),
    labels: Type.Record(Type.String(), Type.String()),
    exposedPorts: Type.Array(Type.String()),
    stopSignal: Nullable(Type.String()),
  }),
});
export type ImageView = Static<typeof ImageView>;

export const ImageList = Type.Object({ images: Type.Array(ImageView) });

export type ImageList = Static<typeof ImageList>;

export const InspectedImageView = Type.Composite([
  ImageView,
  Type.Object({
    manifest: Type.Unknown({ description: "The manifest as it is stored" }),
    rawConfig: Type.Unknown({ description: "The image's configuration as it is stored" }),
  }),
]);

export type InspectedImageView = Static<typeof InspectedImageView>;

/** A name with slashes in it, or a digest. */
export const ImageParams = Type.Object({ "*": Type.String({ minLength: 1, maxLength: 1024 }) });

export const PullBody = Closed({
  reference: Type.String({ minLength: 1, maxLength: 1024 }),
});

export const ProgressView = Type.Object({
  id: Type.String(),
  label: Type.String(),
  state: StringUnion(["waiting", "running", "retrying", "done", "exists"]),
  doneBytes: Type.Number(),
  totalBytes: Nullable(Type.Number()),
  note: Type.Optional(Type.String()),
});

export type ProgressView = Static<typeof ProgressView>;

/** One line of a pull with progress; `done` or `failure` is the last. */
export const PullRecord = Type.Union([
  Type.Object({ type: Type.Literal("progress"), progress: ProgressView }),
  Type.Object({ type: Type.Literal("done"), image: ImageView }),
  StreamFailure,
]);
export type PullRecord = Static<typeof PullRecord>;

export const RemoveImageQuery = Closed({
  force: Type.Optional(Type.Boolean({ description: "Also when a sandbox uses it" })),
});

export const RemovedImagesView = Type.Object({
  names: Type.Array(Type.String()),
  digests: Type.Array(Type.String()),
  freedBytes: Type.Number(),
});
export type RemovedImagesView = Static<typeof RemovedImagesView>;
