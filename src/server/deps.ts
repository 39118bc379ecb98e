/** What the HTTP application is made of: types only. `start.ts` puts it together. */
import type { FastifyBaseLogger } from "fastify";
import type { DriverName } from "../hypervisor/driver.js";
import type { Images } from "../oci/images.js";
import type { SandboxService } from "../sandbox/service.js";
import type { Authenticator } from "./auth/authenticator.js";
import type { ServerMetrics } from "./metrics.js";

export interface ServerConfig {
  /** Requests with a body over it get 413. */
  readonly maxBodyBytes: number;
  /** Of one command or run, all its output. */
  readonly maxOutputBytes: number;
  /** Besides those of the listening address and of loopback: `host` or `host:port`. */
  readonly allowedHosts: readonly string[];
  /** Origins that browsers may call from; `*` for any. Empty: none, in dev mode those of loopback. */
  readonly corsOrigins: readonly string[];
}

/** Which driver runs VMs here and why. */
export interface HypervisorStatus {
  readonly driver: DriverName;
  readonly reason: string;
  /** False until a first boot has told. */
  readonly isConfirmed: boolean;
  readonly kernelVersion: string;
}

export interface AppDeps {
  readonly sandboxes: SandboxService;
  readonly images: Pick<Images, "list" | "inspect" | "pull" | "remove" | "tag">;
  readonly hypervisor: () => Promise<HypervisorStatus>;
  /** null: dev mode, every request is allowed. */
  readonly authenticator: Authenticator | null;
  readonly config: ServerConfig;
  readonly logger: FastifyBaseLogger;
  readonly version: string;
  /** The one that is told of starts; default is one that only knows requests. */
  readonly metrics?: ServerMetrics;
}
