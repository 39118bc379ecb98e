/** Sandboxes on the wire: what is asked for and what comes back. */
import { type Static, Type } from "@sinclair/typebox";
import { SANDBOX_STATES } from "../sandbox/service.js";
import { ProgressView } from "./images.js";
import {
  Closed,
  EnvEntry,
  Milliseconds,
  Nullable,
  StreamFailure,
  StringUnion,
  Timestamp,
} from "./schema.js";

const Labels = Type.Record(
  Type.String({ minLength: 1, maxLength: 128 }),
  Type.String({ maxLength: 1024 }),
);

/** What a template or a guest that runs ahead has in common with the sandboxes that start from it. */
export const shapeOptions = {
  memoryMiB: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1, description: "Default 1024, at least 64" }),
  ),
  cpus: Type.Optional(Type.Integer({ minimum: 1, maximum: 255, description: "Default 1" })),
  diskMiB: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 2 ** 32 - 1,
      description: "Of the private disk. Default 4096, at least 16",
    }),
  ),
};

const specOptions = {
  ...shapeOptions,
  env: Type.Optional(Type.Array(EnvEntry, { description: "NAME=value, after the image's own" })),
  workdir: Type.Optional(
    Nullable(Type.String({ minLength: 1, maxLength: 4096 }), {
      description: "Where commands and code start. Default is the image's",
    }),
  ),
  user: Type.Optional(
    Nullable(Type.String({ minLength: 1, maxLength: 256 }), {
      description: "Whom commands and code run as. Default is the image's",
    }),
  ),
  labels: Type.Optional(Labels),
  idleTimeoutMs: Type.Optional(Milliseconds("Stops it when nobody used it for so long; 0: never")),
  maxLifetimeMs: Type.Optional(Milliseconds("Stops it so long after its start; 0: never")),
};

export const ImageName = Type.String({
  minLength: 1,
  maxLength: 1024,
  description: "As in `image pull`",
});

export const SandboxSpecBody = Closed({ image: ImageName, ...specOptions });
export type SandboxSpecBody = Static<typeof SandboxSpecBody>;

export const CreateSandboxBody = Closed({
  namespace: Type.Optional(
    Type.String({ description: "Default is the namespace of the key, or `default`" }),
  ),
  name: Type.Optional(Type.String({ description: "Default is `sandbox-` and 8 hex digits" })),
  image: ImageName,
  ...specOptions,
});
export type CreateSandboxBody = Static<typeof CreateSandboxBody>;

/** No body, or null, starts what is stored. */
export const StartSandboxBody = Type.Optional(Nullable(SandboxSpecBody));

export const StopSandboxBody = Type.Optional(
  Nullable(
    Closed({
      graceMs: Type.Optional(Milliseconds("How long the guest may take before it is ended")),
    }),
  ),
);

export const SandboxParams = Type.Object({
  namespace: Type.String(),
  name: Type.String(),
});
export type SandboxParams = Static<typeof SandboxParams>;

export const SandboxStateName = StringUnion(SANDBOX_STATES);

export const ListSandboxesQuery = Closed({
  namespace: Type.Optional(Type.String()),
  state: Type.Optional(Type.Array(SandboxStateName, { description: "Any of them" })),
  label: Type.Optional(
    Type.Array(Type.String({ pattern: "^[^=]+=" }), { description: "name=value, all of them" }),
  ),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  cursor: Type.Optional(Type.String({ maxLength: 512, description: "From the page before" })),
});
export type ListSandboxesQuery = Static<typeof ListSandboxesQuery>;

export const RemoveSandboxQuery = Closed({
  force: Type.Optional(Type.Boolean({ description: "Also when it runs" })),
});

export const SandboxView = Type.Object({
  namespace: Type.String(),
  name: Type.String(),
  state: SandboxStateName,
  spec: Type.Object({
    image: Type.String(),
    memoryMiB: Type.Integer(),
    cpus: Type.Integer(),
    diskMiB: Type.Integer(),
    env: Type.Array(Type.String()),
    workdir: Nullable(Type.String()),
    user: Nullable(Type.String()),
    labels: Type.Record(Type.String(), Type.String()),
    idleTimeoutMs: Type.Integer(),
    maxLifetimeMs: Type.Integer(),
  }),
  imageDigest: Nullable(Type.String()),
  createdAt: Timestamp,
  startedAt: Nullable(Timestamp),
  stoppedAt: Nullable(Timestamp),
  stages: Type.Array(Type.Object({ stage: Type.String(), durationMs: Type.Number() }), {
    description: "Of the last start, in order",
  }),
  failure: Nullable(Type.Object({ code: Type.String(), message: Type.String(), at: Timestamp })),
  vm: Nullable(
    Type.Object({
      id: Type.String(),
      driver: Type.String(),
      pid: Type.Integer(),
      confinement: Type.Array(Type.String()),
      stopsAt: Nullable(Timestamp),
    }),
    { description: "null while it does not run" },
  ),
});

/** One line of a start with progress; `done` or `failure` is the last. */
export const StartRecord = Type.Union([
  Type.Object({ type: Type.Literal("progress"), progress: ProgressView }),
  Type.Object({ type: Type.Literal("done"), sandbox: SandboxView }),
  StreamFailure,
]);
export type StartRecord = Static<typeof StartRecord>;

export const SandboxPage = Type.Object({
  sandboxes: Type.Array(SandboxView),
  nextCursor: Nullable(Type.String(), { description: "null on the last page" }),
});

export const MetricsView = Type.Object({
  namespace: Type.String(),
  name: Type.String(),
  running: Type.Boolean(),
  cpuPercent: Nullable(Type.Number(), { description: "Of one host core" }),
  memoryMiB: Nullable(Type.Number()),
  diskBytes: Nullable(Type.Number()),
  guest: Nullable(
    Type.Object({
      uptimeMs: Type.Number(),
      cpuPercent: Type.Number(),
      memoryUsedMiB: Type.Number(),
      memoryTotalMiB: Type.Number(),
      diskUsedBytes: Type.Number(),
      diskTotalBytes: Type.Number(),
      processes: Type.Number(),
      load1: Type.Number(),
    }),
  ),
});
export type SandboxView = Static<typeof SandboxView>;
export type SandboxPage = Static<typeof SandboxPage>;
export type MetricsView = Static<typeof MetricsView>;
