/** What is known of a sandbox beyond the life of a server: one JSON file, checked when it is read. */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { KernelsSnapshot } from "../kernel/kernels.js";
import { LANGUAGES } from "../kernel/run-types.js";
import { type Digest, isDigest } from "../oci/digest.js";
import {
  SANDBOX_STATES,
  type SandboxFailure,
  type SandboxKey,
  type SandboxSpec,
  type SandboxState,
  type StartStage,
} from "./service.js";
import { isSandboxName } from "./sandbox-name.js";

/** Goes up when a program that knows only the older records would do harm. */
export const RECORD_VERSION = 1;

export interface SandboxRecord extends SandboxKey {
  readonly state: SandboxState;
  readonly spec: SandboxSpec;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly stoppedAt: string | null;
  readonly stages: readonly StartStage[];
  readonly failure: SandboxFailure | null;
  /** null: there is no private disk yet, whatever file may lie there. */
  readonly disk: DiskRecord | null;
  /** Written before the VM is started, so that no VM is ever unknown. */
  readonly vm: VmRecord | null;
  readonly kernels: KernelsSnapshot | null;
}

/** What the private disk was made for: it holds changes to one image and means nothing on another. */
export interface DiskRecord {
  /** As the user named it. */
  readonly image: string;
  readonly digest: Digest;
  /** `docker.io/library/python`: where the image can be pulled again; null for one that was only ever here. */
  readonly repository: string | null;
  readonly sizeMiB: number;
}

export interface VmRecord {
  readonly id: string;
  /** null while it boots. */
  readonly nonce: string | null;
  /** What commands and code get, of image and user together. */
  readonly env: readonly string[];
  readonly workdir: string;
  readonly user: string;
}

const Text = Type.String({ maxLength: 1024 ** 2 });
const Time = Type.String({ maxLength: 64 });
const OrNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Texts = Type.Array(Text, { maxItems: 8192 });

const SpecSchema = Type.Object({
  image: Text,
  memoryMiB: Count,
  cpus: Count,
  diskMiB: Count,
  env: Texts,
  workdir: OrNull(Text),
  user: OrNull(Text),
  labels: Type.Record(Type.String(), Text),
  idleTimeoutMs: Count,
  maxLifetimeMs: Count,
});

const KernelSchema = Type.Object({
  id: Text,
  language: Type.Union(LANGUAGES.map((language) => Type.Literal(language))),
  isDefault: Type.Boolean(),
  workdir: Text,
  env: Texts,
  createdAt: Time,
  stream: OrNull(Count),
});

const RecordSchema = Type.Object({
  version: Type.Literal(RECORD_VERSION),
  namespace: Type.String(),
  name: Type.String(),
  state: Type.Union(SANDBOX_STATES.map((state) => Type.Literal(state))),
  spec: SpecSchema,
  createdAt: Time,
  startedAt: OrNull(Time),
  stoppedAt: OrNull(Time),
  stages: Type.Array(Type.Object({ stage: Text, durationMs: Type.Number({ minimum: 0 }) }), {
    maxItems: 64,
  }),
  failure: OrNull(Type.Object({ code: Text, message: Text, at: Time })),
  disk: OrNull(
    Type.Object({
      image: Text,
      digest: Type.String(),
      repository: OrNull(Text),
      sizeMiB: Count,
    }),
  ),
  vm: OrNull(
    Type.Object({
      id: Type.String({ pattern: "^[A-Za-z0-9_-]{1,64}$" }),
      nonce: OrNull(Type.String({ pattern: "^[0-9a-f]{32}$" })),
      env: Texts,
      workdir: Text,
      user: Text,
    }),
  ),
  kernels: OrNull(Type.Object({ contexts: Type.Array(KernelSchema, { maxItems: 4096 }) })),
});

/** The record of `key` in `text`; else what is wrong with it. */
export function parseRecord(text: string, key: SandboxKey): SandboxRecord | { problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: "it is not JSON" };
  }
  if (!Value.Check(RecordSchema, value)) {
    const first = Value.Errors(RecordSchema, value).First();
    return { problem: `${first?.path || "it"}: ${first?.message ?? "wrong"}` };
  }
  if (value.namespace !== key.namespace || value.name !== key.name || !isSandboxName(value.name)) {
    return { problem: "it is the record of another sandbox" };
  }
  if (value.disk !== null && !isDigest(value.disk.digest)) {
    return { problem: "/disk/digest: no digest" };
  }
  const { version: _, ...record } = value as Static<typeof RecordSchema>;
  return record as SandboxRecord;
}

export function formatRecord(record: SandboxRecord): string {
  return `${JSON.stringify({ version: RECORD_VERSION, ...record }, null, 2)}\n`;
}
