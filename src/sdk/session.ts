/** What the parts of a sandbox object share: whose calls they make, and whether they may. */
import type { RunBody } from "../api/code.js";
import type { SandboxParams } from "../api/sandboxes.js";
import type { MsbClient } from "./client.js";

/** An interpreter that can run code. */
export type Language = RunBody["language"];

export interface Session {
  readonly client: MsbClient;
  readonly key: SandboxParams;
  /** Throws MSB_ERR_INVALID_STATE. */
  requireStarted(): void;
}
