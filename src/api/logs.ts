/** Logs of a sandbox on the wire. */
import { type Static, Type } from "@sinclair/typebox";
import { Closed, StringUnion, Timestamp } from "./schema.js";

export const LogsQuery = Closed({
  source: Type.Optional(
    Type.Array(StringUnion(["events", "console"]), { description: "Default is both" }),
  ),
  follow: Type.Optional(Type.Boolean({ description: "As a stream of events that goes on" })),
});
export type LogsQuery = Static<typeof LogsQuery>;

export const LogEntryView = Type.Union([
  Type.Object({
    source: Type.Literal("events"),
    event: Type.Object({
      seq: Type.Integer(),
      at: Timestamp,
      type: Type.String(),
      message: Type.String(),
      details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    }),
  }),
  Type.Object({ source: Type.Literal("console"), text: Type.String() }),
]);
export type LogEntryView = Static<typeof LogEntryView>;
