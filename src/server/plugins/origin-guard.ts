/** Refuses requests that a browser sends for pages which this server does not trust; with and without keys. */
import type { FastifyInstance } from "fastify";
import { MsbError } from "../../errors.js";
import { isAllowedHost, isAllowedOrigin, type OriginRules } from "../origins.js";

/**
 * Every method, reads too: a page of another origin has no business here, and not everything it could open with GET
 * is kept from it by CORS. Programs send no Origin. Register it on the root, before everything that answers.
 */
export async function originGuard(app: FastifyInstance, rules: OriginRules): Promise<void> {
  app.addHook("onRequest", async (request) => {
    const { host, origin } = request.headers;
    // Only HTTP/1.0 may leave it out, which no browser speaks.
    if (host !== undefined && !isAllowedHost(host, rules)) throw refusedHost(host);
    if (origin !== undefined && !isAllowedOrigin(origin, host, rules)) throw refusedOrigin(origin);
  });
}

// Its hook is for the whole application, not for a part of its own.
Object.assign(originGuard, { [Symbol.for("skip-override")]: true });

function refusedHost(host: string): MsbError {
  const shown = shownText(host);
  return new MsbError(
    "MSB_ERR_ACCESS_DENIED",
    `The Host header is ${shown}, which is no name of this server. If it is, start the server with --allow-host and ` +
      "this name.",
    { details: { header: "host", value: shown, option: "allow-host" } },
  );
}

function refusedOrigin(origin: string): MsbError {
  const shown = shownText(origin);
  return new MsbError(
    "MSB_ERR_ACCESS_DENIED",
    `Pages of the origin ${shown} may not call this server. If they shall, start it with --cors-origin and this ` +
      "origin.",
    { details: { header: "origin", value: shown, option: "cors-origin" } },
  );
}

function shownText(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
