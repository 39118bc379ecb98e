/** What a command that has its own way of being stopped needs of its process; tests give it another one. */
import type { ServerSettings } from "../config.js";
import { MsbError } from "../errors.js";
import type { RunningServer, ServeOpts } from "../server/process/serve.js";

export interface ServerModule {
  readonly startServer: (settings: ServerSettings, opts: ServeOpts) => Promise<RunningServer>;
}

export interface ServiceHost {
  /** What runs this program again; its words follow. */
  readonly command: readonly [string, ...string[]];
  /** Loaded on first use. */
  readonly server: () => Promise<ServerModule>;
  /** How a stop is taken; set by `expectStop`. */
  readonly stopPolicy: StopPolicy | null;
  /** From now on, being stopped is how the command ends well: its exit code is 0 unless something went wrong. */
  expectStop(policy: StopPolicy): void;
  /** `tell` hears of an error that nobody catches before it ends the process. */
  onCrash(tell: (error: unknown) => void): void;
  /** Who started this process to leave it in the background; null for nobody. */
  parent(): ParentLink | null;
}

export interface StopPolicy {
  /** Closing the terminal stops the command; else it goes on. */
  readonly endsWithTerminal: boolean;
  readonly maxCleanUpMs: number;
  /** A second signal ends the command's work at once, in place of the process; the command then ends as stopped. */
  readonly hurry?: () => void;
}

export interface ParentLink {
  /** Resolves when it has been sent, or cannot be. */
  tell(message: unknown): Promise<void>;
  /** Its end no longer matters. Until then the command is stopped when its parent goes away. */
  letGo(): void;
}

/** `stop` is aborted when the parent goes away before it let go. */
export function processServiceHost(
  host: NodeJS.Process,
  server: () => Promise<ServerModule>,
  stop: AbortController,
): ServiceHost {
  let stopPolicy: StopPolicy | null = null;
  return {
    command: [
      host.execPath,
      ...host.execArgv.filter((word) => !word.startsWith("--inspect")),
      host.argv[1] ?? "",
    ],
    server,
    get stopPolicy() {
      return stopPolicy;
    },
    expectStop: (policy) => {
      stopPolicy = policy;
    },
    onCrash: (tell) => void host.on("uncaughtExceptionMonitor", tell),
    parent: () => (host.send === undefined ? null : parentLink(host, stop)),
  };
}

function parentLink(host: NodeJS.Process, stop: AbortController): ParentLink {
  const onGone = (): void =>
    stop.abort(
      new MsbError("MSB_ERR_ABORTED", "Whoever started this in the background has gone away."),
    );
  if (!host.connected) onGone();
  host.once("disconnect", onGone);
  return {
    tell: (message) =>
      new Promise((resolve) => {
        if (!host.connected) resolve();
        else host.send!(message, undefined, undefined, () => resolve());
      }),
    letGo: () => {
      host.off("disconnect", onGone);
      if (host.connected) host.disconnect();
    },
  };
}
