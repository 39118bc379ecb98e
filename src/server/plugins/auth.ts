/** Every request has a principal, or is refused. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { ANY_NAMESPACE, type Authenticator, type Principal } from "../auth/authenticator.js";

declare module "fastify" {
  interface FastifyRequest {
    /** Who asks. Routes that are public have nobody in particular, with no namespace. */
    principal: Principal;
  }
  interface FastifyContextConfig {
    /** Answers without a key. */
    public?: boolean;
  }
}

export interface AuthPluginOpts {
  /** null: dev mode, nobody is asked for a key. */
  readonly authenticator: Authenticator | null;
}

const ANYBODY: Principal = Object.freeze({ namespace: ANY_NAMESPACE, keyId: null });
const NOBODY: Principal = Object.freeze({ namespace: "", keyId: null });

/**
 * Checks the key of every request before its body is read and before it is known whether there is such a route or
 * method; only routes with `config: { public: true }` answer without one. Register it on the root, after CORS
 * (preflights come without a key) and the origin guard.
 */
export async function authPlugin(app: FastifyInstance, opts: AuthPluginOpts): Promise<void> {
  const { authenticator } = opts;
  app.decorateRequest("principal", null as unknown as Principal);
  app.addHook("onRequest", async (request) => {
    if (authenticator === null) request.principal = ANYBODY;
    else if (request.routeOptions.config.public === true) request.principal = NOBODY;
    else request.principal = await authenticated(authenticator, request);
  });
}

// Its hook and its decorator are for the whole application, not for a part of its own.
Object.assign(authPlugin, { [Symbol.for("skip-override")]: true });

function authenticated(authenticator: Authenticator, request: FastifyRequest): Promise<Principal> {
  const { authorization, "proxy-authorization": proxyAuthorization } = request.headers;
  return authenticator.authenticate(
    {
      ...(authorization === undefined ? {} : { authorization }),
      ...(proxyAuthorization === undefined ? {} : { proxyAuthorization }),
    },
    request.ip,
  );
}
