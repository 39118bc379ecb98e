/** Running code on the wire: requests, events, contexts. */
import { type Static, Type } from "@sinclair/typebox";
import { LANGUAGES } from "../kernel/run-types.js";
import { Closed, EnvEntry, Milliseconds, StreamFailure, StringUnion, Timestamp } from "./schema.js";

export const LanguageName = StringUnion(LANGUAGES);

export const RunBody = Closed({
  language: LanguageName,
  code: Type.String(),
  timeoutMs: Type.Optional(Milliseconds("0, the default, for none")),
  contextId: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 256,
      description: "Default is the language's own context",
    }),
  ),
  interruptOnDisconnect: Type.Optional(
    Type.Boolean({ description: "Default true: code whose client is gone is interrupted" }),
  ),
});
export type RunBody = Static<typeof RunBody>;

const RichResultView = Type.Object({
  isValue: Type.Boolean(),
  text: Type.Optional(Type.String()),
  html: Type.Optional(Type.String()),
  markdown: Type.Optional(Type.String()),
  svg: Type.Optional(Type.String()),
  png: Type.Optional(Type.String({ description: "Base64" })),
  jpeg: Type.Optional(Type.String({ description: "Base64" })),
  latex: Type.Optional(Type.String()),
  json: Type.Optional(Type.Unknown()),
  omitted: Type.Optional(Type.Record(Type.String(), Type.Number())),
});

/** One line of the answer; `end` or `failure` is the last. */
export const RunRecord = Type.Union([
  Type.Object({ type: StringUnion(["stdout", "stderr"]), text: Type.String() }),
  Type.Object({ type: Type.Literal("result"), result: RichResultView }),
  Type.Object({
    type: Type.Literal("error"),
    error: Type.Object({
      name: Type.String(),
      value: Type.String(),
      traceback: Type.Array(Type.String()),
    }),
  }),
  Type.Object({
    type: Type.Literal("end"),
    status: StringUnion(["success", "error"]),
    reason: StringUnion(["completed", "exception", "timeout", "interrupted", "exited", "died"]),
    durationMs: Type.Number(),
    stateLost: Type.Boolean(),
  }),
  StreamFailure,
]);

export type RunRecord = Static<typeof RunRecord>;

export const ContextView = Type.Object({
  id: Type.String(),
  language: LanguageName,
  isDefault: Type.Boolean(),
  state: StringUnion(["absent", "starting", "idle", "busy"]),
  workdir: Type.String(),
  env: Type.Array(Type.String()),
  createdAt: Timestamp,
});

export const ContextList = Type.Object({ contexts: Type.Array(ContextView) });

export const CreateContextBody = Closed({
  language: LanguageName,
  workdir: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
  env: Type.Optional(Type.Array(EnvEntry)),
});

export type CreateContextBody = Static<typeof CreateContextBody>;

export const ContextParams = Type.Object({
  namespace: Type.String(),
  name: Type.String(),
  id: Type.String(),
});

export const Interrupted = Type.Object({
  interrupted: Type.Boolean({ description: "False when nothing was running" }),
});
export type ContextView = Static<typeof ContextView>;
export type ContextList = Static<typeof ContextList>;
export type Interrupted = Static<typeof Interrupted>;
