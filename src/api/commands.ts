/** Commands on the wire: what to run, and what happens, record by record. */
import { type Static, Type } from "@sinclair/typebox";
import { COMMAND_END_REASONS } from "../sandbox/service.js";
import { Closed, EnvEntry, Milliseconds, Nullable, StreamFailure, StringUnion } from "./schema.js";

export const CommandBody = Closed({
  command: Type.String({ minLength: 1, description: "A program; there is no shell around it" }),
  args: Type.Optional(Type.Array(Type.String())),
  timeoutMs: Type.Optional(Milliseconds("0, the default, for none")),
  env: Type.Optional(Type.Array(EnvEntry, { description: "NAME=value, after the sandbox's own" })),
  workdir: Type.Optional(
    Type.String({ minLength: 1, maxLength: 4096, description: "Default is the sandbox's" }),
  ),
  user: Type.Optional(
    Type.String({ minLength: 1, maxLength: 256, description: "Default is the sandbox's" }),
  ),
  stdin: Type.Optional(
    Type.String({ description: "Base64. Default is nothing: the program finds the end at once" }),
  ),
  encoding: Type.Optional(
    StringUnion(["text", "base64"], {
      description: "How output comes: `text`, the default, is UTF-8 with U+FFFD for what is not",
    }),
  ),
  killOnDisconnect: Type.Optional(
    Type.Boolean({ description: "Default true: a command whose client is gone is killed" }),
  ),
});
export type CommandBody = Static<typeof CommandBody>;

const OutputStream = StringUnion(["stdout", "stderr"]);

/** One line of the answer; `end` or `failure` is the last. */
export const CommandRecord = Type.Union([
  Type.Object(
    { type: OutputStream, text: Type.String() },
    { description: "A piece of output, not a line" },
  ),
  Type.Object(
    { type: OutputStream, base64: Type.String() },
    { description: "The same with the encoding `base64`" },
  ),
  Type.Object({
    type: Type.Literal("end"),
    reason: StringUnion(COMMAND_END_REASONS),
    exitCode: Nullable(Type.Integer(), { description: "null when a signal ended it" }),
    signal: Nullable(Type.Integer()),
    durationMs: Type.Number(),
  }),
  StreamFailure,
]);
export type CommandRecord = Static<typeof CommandRecord>;
