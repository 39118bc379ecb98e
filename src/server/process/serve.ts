/**
 * A server as a process: alone with its MSB_HOME, listening, and ended in order. What it serves is made by
 * `launch`, which `server/start.ts` has for real.
 */
import { createServer } from "node:net";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import type { Env, ServerSettings, ShutdownChoice } from "../../config.js";
import { MsbError } from "../../errors.js";
import type { MsbPaths } from "../../paths.js";
import { deferred, settlesWithin, throwIfAborted } from "../../util/async.js";
import { CleanUp } from "../../util/clean-up.js";
import { hostPort } from "../../util/host-port.js";
import { ServerLock } from "./server-lock.js";
import type { ServerProcess } from "./server-process.js";

/** Requests in flight may take so long when the server ends; then their connections are closed. */
export const DRAIN_MS = 10_000;
/** What an application may take to end when nobody is connected any more. */
const CLOSE_MS = 5_000;

/** What an application is made from. */
export interface LaunchScope {
  readonly settings: ServerSettings;
  readonly paths: MsbPaths;
  readonly env: Env;
  readonly logger: Logger;
  readonly version: string;
  /** Make a new server key, which ends all keys that were issued. */
  readonly resetKey: boolean;
  /** Aborts when the start is not wanted any more. */
  readonly signal: AbortSignal;
}

export interface Launched {
  /** Does not listen yet. */
  readonly app: FastifyInstance;
  /** Lets go of all that is behind it; called once, after the application was closed. */
  close(opts: { readonly sandboxes: ShutdownChoice }): Promise<void>;
}

/** When it throws, it has let go of everything. */
export type Launch = (scope: LaunchScope) => Promise<Launched>;

export interface ServeOpts {
  readonly paths: MsbPaths;
  readonly env: Env;
  readonly logger: Logger;
  /** Where the log goes, for whoever looks for it; null: to standard error. */
  readonly logFile: string | null;
  readonly version: string;
  readonly resetKey?: boolean;
  /** Ends a start that is under way. */
  readonly signal?: AbortSignal;
  /** Default 10 s. */
  readonly drainMs?: number;
}

export interface RunningServer {
  /** Of this machine's own address, if it listens on all. */
  readonly url: string;
  readonly process: ServerProcess;
  /** Resolves when the server has been closed, by whomever. */
  readonly closed: Promise<void>;
  /** Answers when requests in flight are done or cut, and sandboxes stopped or detached. Idempotent. */
  close(opts?: { readonly sandboxes?: ShutdownChoice }): Promise<void>;
}

/**
 * Throws MSB_ERR_SERVER_RUNNING, MSB_ERR_ADDRESS_IN_USE, MSB_ERR_INVALID_ARGUMENT for an address that is not of this
 * host, MSB_ERR_ABORTED, and what `launch` throws; everything is then as before, and sandboxes of an earlier server
 * still wait for the next one.
 */
export async function serve(
  settings: ServerSettings,
  opts: ServeOpts,
  launch: Launch,
): Promise<RunningServer> {
  const { logger, paths, version, logFile } = opts;
  const signal = opts.signal ?? new AbortController().signal;
  const cleanUp = new CleanUp();
  // A start that fails has no say over sandboxes: they are the next server's.
  let sandboxes: ShutdownChoice = "detach";
  try {
    throwIfAborted(signal, "The start of the server");
    const { isDev, keyFile } = settings;
    const lock = await ServerLock.acquire(paths, { isDev, version, logFile, keyFile });
    cleanUp.add(() => lock[Symbol.asyncDispose]());
    // Known before anything is fetched or taken over; whoever comes meanwhile is met by `listen`.
    await checkAddress(settings);
    const launched = await launch({
      settings,
      paths,
      env: opts.env,
      logger,
      version,
      resetKey: opts.resetKey ?? false,
      signal,
    });
    cleanUp.add(() => launched.close({ sandboxes }));
    cleanUp.add(() => drain(launched.app, logger, opts.drainMs ?? DRAIN_MS));
    throwIfAborted(signal, "The start of the server");
    const where = await listen(launched.app, settings);
    await lock.announce(where);
    throwIfAborted(signal, "The start of the server");

    const closed = deferred<void>();
    // Whoever calls `close` hears of errors there.
    closed.promise.catch(() => {});
    return {
      url: where.url,
      process: lock.process,
      closed: closed.promise,
      close: async (how = {}) => {
        sandboxes = how.sandboxes ?? settings.shutdown;
        const run = cleanUp.run();
        run.then(closed.resolve, closed.reject);
        await run;
      },
    };
  } catch (error) {
    await cleanUp.run().catch((failed: unknown) => {
      logger.error({ err: failed }, "The start failed, and not all of it could be undone");
    });
    throw error;
  }
}

/** No new connections, then no old ones. */
async function drain(app: FastifyInstance, logger: Logger, limitMs: number): Promise<void> {
  const closing = app.close();
  closing.catch(() => {});
  if (await settlesWithin(closing, limitMs)) return;
  logger.warn({ limitMs }, "Requests are still under way and are cut off");
  app.server.closeAllConnections();
  if (!(await settlesWithin(closing, CLOSE_MS))) {
    logger.warn({ limitMs: CLOSE_MS }, "The application does not end and is left behind");
  }
}

async function listen(
  app: FastifyInstance,
  { host, port }: ServerSettings,
): Promise<{ address: string; url: string }> {
  // Each address of the machine is logged once; that the server listens is said by whoever started it.
  const listenTextResolver = (address: string): string => `Reachable at ${address}`;
  await app.listen({ host, port, listenTextResolver }).catch((error: unknown) => {
    throw addressError(error, host, port);
  });
  const bound = app.server.address();
  const boundPort = typeof bound === "object" && bound !== null ? bound.port : port;
  return {
    address: hostPort(host, boundPort),
    url: `http://${hostPort(reachable(host), boundPort)}`,
  };
}

function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return /^[0:]+$/.test(host) ? "::1" : host;
}

async function checkAddress({ host, port }: ServerSettings): Promise<void> {
  if (port === 0) return;
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once("error", (error) => reject(addressError(error, host, port)));
    probe.listen({ host, port }, () => probe.close(() => resolve()));
  });
}

function addressError(error: unknown, host: string, port: number): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const opts = { cause: error, details: { host, port } };
  const address = hostPort(host, port);
  if (code === "EADDRINUSE") {
    return new MsbError(
      "MSB_ERR_ADDRESS_IN_USE",
      `Another program listens on ${address}. Choose another port with --port (MSB_PORT), or 0 for any that is free.`,
      opts,
    );
  }
  if (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT") {
    const why = `this machine has no address ${host}`;
    return new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `The server cannot listen on ${address}: ${why}. Choose another with --host (MSB_HOST).`,
      opts,
    );
  }
  if (code === "EACCES" || code === "EPERM") {
    return new MsbError(
      "MSB_ERR_INVALID_ARGUMENT",
      `The server may not listen on ${address}. Choose a port from 1024 on with --port (MSB_PORT).`,
      opts,
    );
  }
  return error;
}
