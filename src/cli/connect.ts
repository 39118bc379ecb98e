/** Which server a command talks to. */
import { Option } from "commander";
import { msbPaths } from "../paths.js";
import type { MsbClient } from "../sdk/client.js";
import type { JsonOpts } from "./command.js";
import type { CliContext } from "./context.js";
import { requireOwnServer } from "./own-server.js";

export interface ServerUrlOpts extends JsonOpts {
  readonly serverUrl?: string;
}

/** A key is no option: every user of a machine can see the words of its processes. */
export const serverUrlOption = (): Option =>
  new Option(
    "--server-url <url>",
    "the server to talk to, with the key in MSB_API_KEY (MSB_SERVER_URL; the running one of MSB_HOME)",
  );

export const CLIENT_VARIABLES: readonly (readonly [string, string])[] = [
  ["MSB_SERVER_URL", "the server that sandbox commands talk to (the running one of MSB_HOME)"],
  ["MSB_API_KEY", "an access key for it (for the server of MSB_HOME: one made of its key file)"],
];

/**
 * The server that was named, else the running one of this MSB_HOME. Throws MSB_ERR_SERVER_NOT_RUNNING and
 * MSB_ERR_INVALID_ARGUMENT; whether it answers is seen when it is asked.
 */
export async function connect(ctx: CliContext, opts: ServerUrlOpts): Promise<MsbClient> {
  const { MsbClient } = await import("../sdk/client.js");
  // An empty one is none: the client itself would look into the environment of the process.
  const apiKey = ctx.env["MSB_API_KEY"] ?? "";
  const serverUrl = opts.serverUrl ?? (ctx.env["MSB_SERVER_URL"] || undefined);
  if (serverUrl !== undefined) return new MsbClient({ serverUrl, apiKey });
  const own = await requireOwnServer(msbPaths(ctx.env["MSB_HOME"] || undefined));
  return new MsbClient({ serverUrl: own.serverUrl, apiKey: apiKey || (own.apiKey ?? "") });
}
