/** What is made ready before anybody asks for a sandbox, on the wire. */
import { type Static, Type } from "@sinclair/typebox";
import { ProgressView } from "./images.js";
import { ImageName, shapeOptions } from "./sandboxes.js";
import { Closed, Nullable, StreamFailure, StringUnion } from "./schema.js";

/** Of the sandboxes that are to start quickly. */
export const WarmBody = Closed({ image: ImageName, ...shapeOptions });
export type WarmBody = Static<typeof WarmBody>;

export const WarmedView = Type.Object({
  image: Type.String(),
  imageDigest: Type.String(),
  memoryMiB: Type.Integer(),
  cpus: Type.Integer(),
  diskMiB: Type.Integer(),
  headStart: StringUnion(["template", "guest"]),
  wasReady: Type.Boolean({ description: "It was there before" }),
  keptBytes: Nullable(Type.Number(), {
    description: "What of the host's memory a template takes; null for a guest that runs",
  }),
});
export type WarmedView = Static<typeof WarmedView>;

/** One line of it with progress; `done` or `failure` is the last. */
export const WarmRecord = Type.Union([
  Type.Object({ type: Type.Literal("progress"), progress: ProgressView }),
  Type.Object({ type: Type.Literal("done"), warmed: WarmedView }),
  StreamFailure,
]);
export type WarmRecord = Static<typeof WarmRecord>;
