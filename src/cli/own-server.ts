/** The server of this MSB_HOME: where it is, and a key for it that its own files make. */
import { MsbError } from "../errors.js";
import type { MsbPaths } from "../paths.js";
import type { ServerProcess } from "../server/process/server-process.js";

/** Longer than any command takes to send its last request; commands that go on for ever ask anew. */
const KEY_LIFETIME_S = 3600;

/** A server that can be asked. */
export interface OwnServer {
  readonly serverUrl: string;
  /** undefined when it asks for none. */
  readonly apiKey: string | undefined;
}

/**
 * Throws MSB_ERR_SERVER_NOT_RUNNING, also for one that is about to start, and MSB_ERR_SERVER_UNREACHABLE for one that
 * cannot be seen from here.
 */
export async function requireOwnServer(paths: MsbPaths): Promise<OwnServer> {
  const { findServer } = await import("../server/process/server-lock.js");
  const found = await findServer(paths);
  const details = { home: paths.home };
  switch (found.state) {
    case "none":
      throw new MsbError(
        "MSB_ERR_SERVER_NOT_RUNNING",
        `No server works with ${paths.home}. Start one with \`msb-ts server start --detach\`, or name another one ` +
          "with --server-url.",
        { details },
      );
    case "starting":
      throw new MsbError(
        "MSB_ERR_SERVER_NOT_RUNNING",
        `The server (process ${found.process.pid}) is still starting. Try again soon, or see what it does with ` +
          "`msb-ts server status`.",
        { details: { ...details, pid: found.process.pid } },
      );
    case "unknown":
      throw new MsbError(
        "MSB_ERR_SERVER_UNREACHABLE",
        `A server works with ${paths.home}, but it cannot be seen from here, such as in a container. Give its address ` +
          "with --server-url, and a key for it in MSB_API_KEY.",
        { details },
      );
    case "running":
      return {
        serverUrl: found.process.url!,
        apiKey: await ownKey(paths, found.process),
      };
  }
}

/** A key for all namespaces that is valid for an hour; undefined when `server` asks for none. */
export async function ownKey(paths: MsbPaths, server: ServerProcess): Promise<string | undefined> {
  if (server.isDev) return undefined;
  const { ServerKey } = await import("../server/auth/server-key.js");
  const { issueApiKey } = await import("../server/auth/api-key.js");
  const serverKey = await ServerKey.open(paths, { keyFile: server.keyFile ?? undefined });
  const { key } = await issueApiKey(serverKey, { namespace: "*", lifetimeS: KEY_LIFETIME_S });
  return key;
}
