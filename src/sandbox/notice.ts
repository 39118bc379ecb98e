/** What the server's log and its metrics hear of sandboxes. */
import type { SandboxEvent, SandboxKey, SandboxState, StartStage } from "./service.js";

export type SandboxNotice =
  | {
      readonly kind: "state";
      readonly key: SandboxKey;
      /** null: it is new. */
      readonly from: SandboxState | null;
      /** null: it was removed. */
      readonly to: SandboxState | null;
    }
  | { readonly kind: "stage"; readonly key: SandboxKey; readonly stage: StartStage }
  | { readonly kind: "event"; readonly key: SandboxKey; readonly event: SandboxEvent }
  /** Of no sandbox that is known: a broken record, a stray VM, a disk that nobody owns, a template. */
  | {
      readonly kind: "info" | "warning";
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };

/** It is not waited for and must not throw. */
export type OnNotice = (notice: SandboxNotice) => void;
