/** The server about itself. */
import { type Static, Type } from "@sinclair/typebox";
import { SANDBOX_STATES } from "../sandbox/service.js";

const BudgetView = Type.Object({
  sandboxes: Type.Integer(),
  memoryMiB: Type.Integer(),
  vcpus: Type.Integer(),
});

export const HealthView = Type.Object({ message: Type.Literal("Service is healthy") });

export const InfoView = Type.Object({
  version: Type.String(),
  nodeVersion: Type.String(),
  platform: Type.String({ description: "Such as linux/x64" }),
  hypervisor: Type.Object({
    driver: Type.String(),
    reason: Type.String({ description: "Why this one" }),
    isConfirmed: Type.Boolean({ description: "A VM has booted with it" }),
    kernelVersion: Type.String({ description: "Of the guests" }),
  }),
  budget: BudgetView,
  used: BudgetView,
  counts: Type.Object(Object.fromEntries(SANDBOX_STATES.map((state) => [state, Type.Integer()])), {
    description: "Sandboxes by state, of the namespaces that the key is for",
  }),
  limits: Type.Object({ maxBodyBytes: Type.Integer(), maxOutputBytes: Type.Integer() }),
  features: Type.Array(Type.String()),
});
export type InfoView = Static<typeof InfoView>;
