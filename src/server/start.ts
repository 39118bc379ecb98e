/** The composition root: the one place that names concrete drivers, kernels and stores. */
import type { Logger } from "pino";
import { messageOf, MsbError } from "../errors.js";
import { AutoDriver } from "../hypervisor/auto-driver.js";
import { type Hypervisor, openHypervisor } from "../hypervisor/open.js";
import { openKernels } from "../kernel/open-kernels.js";
import { Images } from "../oci/images.js";
import type { FetchProgress } from "../runtime/resolve.js";
import { HypervisorGuests } from "../sandbox/hypervisor-guests.js";
import type { SandboxNotice } from "../sandbox/notice.js";
import { SandboxManager } from "../sandbox/sandbox-manager.js";
import type { ServerSettings } from "../config.js";
import { CleanUp } from "../util/clean-up.js";
import { buildApp } from "./app.js";
import type { Authenticator } from "./auth/authenticator.js";
import { KeyAuthenticator } from "./auth/key-authenticator.js";
import { resetServerKey, ServerKey } from "./auth/server-key.js";
import type { HypervisorStatus } from "./deps.js";
import { ServerMetrics } from "./metrics.js";
import {
  type Launched,
  type LaunchScope,
  type RunningServer,
  serve,
  type ServeOpts,
} from "./process/serve.js";

/** Answers when the server answers. Throws as `serve`, and what each part of it throws when it cannot be opened. */
export function startServer(settings: ServerSettings, opts: ServeOpts): Promise<RunningServer> {
  return serve(settings, opts, launch);
}

async function launch(scope: LaunchScope): Promise<Launched> {
  const cleanUp = new CleanUp();
  try {
    return await assemble(scope, cleanUp);
  } catch (error) {
    await cleanUp.run().catch((failed: unknown) => {
      scope.logger.error({ err: failed }, "The start failed, and not all of it could be undone");
    });
    throw error;
  }
}

async function assemble(scope: LaunchScope, cleanUp: CleanUp): Promise<Launched> {
  const { settings, paths, env, logger, version, signal } = scope;
  const authenticator = settings.isDev ? null : await openAuthenticator(scope);
  if (settings.isDev) logger.warn("Development mode: whoever reaches this server may use it");

  let sandboxes: SandboxManager | undefined;
  const images = await Images.open({
    paths,
    env,
    inUse: async () => (await sandboxes?.imagesInUse()) ?? new Set(),
    onWarning: (message) => logger.warn(message),
  });
  cleanUp.add(() => images[Symbol.asyncDispose]());

  const hypervisor = await openHypervisor({
    ...settings.hypervisor,
    paths,
    env,
    signal,
    onProgress: logFetches(logger),
    onFallback: (reason) => logger.warn({ reason }, "MicroVMs run on QEMU, which is slower"),
  });
  const status = (): Promise<HypervisorStatus> => hypervisorStatus(hypervisor);
  logger.info(await status(), "What runs microVMs");

  const metrics = new ServerMetrics();
  const manager = await SandboxManager.open({
    paths,
    guests: new HypervisorGuests({ hypervisor, leaseMs: settings.leaseMs }),
    openKernels,
    images,
    budget: settings.budget,
    concurrentBoots: settings.maxConcurrentBoots,
    maxTemplates: settings.maxTemplates,
    warmGuests: settings.warmGuests,
    bootTimeoutMs: settings.bootTimeoutMs,
    maxOutputBytes: settings.http.maxOutputBytes,
    limits: {
      idleTimeoutMs: settings.idleTimeoutMs,
      maxLifetimeMs: settings.maxLifetimeMs,
    },
    onNotice: onNotice(logger, metrics),
  });
  sandboxes = manager;
  // A start that fails leaves sandboxes to the next server.
  let end: "stop" | "detach" = "detach";
  cleanUp.add(() => manager.close({ sandboxes: end }));

  const app = await buildApp({
    sandboxes: manager,
    images,
    hypervisor: status,
    authenticator,
    config: settings.http,
    logger,
    version,
    metrics,
  });
  return {
    app,
    close: async (how) => {
      end = how.sandboxes;
      await cleanUp.run();
    },
  };
}

async function openAuthenticator({
  settings,
  paths,
  logger,
  resetKey,
}: LaunchScope): Promise<Authenticator> {
  const where = { keyFile: settings.keyFile ?? undefined };
  const key = resetKey ? await resetServerKey(paths, where) : await ServerKey.open(paths, where);
  if (resetKey) logger.warn({ file: key.path }, "A new server key: keys issued before are void");
  if (key.notice !== null) logger.warn(key.notice);
  return new KeyAuthenticator(key, paths);
}

/** Throws when no microVM can run here, saying what was tried. */
async function hypervisorStatus({ driver, kernelVersion }: Hypervisor): Promise<HypervisorStatus> {
  if (driver instanceof AutoDriver) return { ...(await driver.choose()), kernelVersion };
  const probe = await driver.probe();
  if (!probe.usable) throw new MsbError(probe.code, probe.reason, { details: probe.facts });
  const reason = "it was asked for (--hypervisor)";
  return { driver: driver.name, reason, isConfirmed: driver.name === "qemu", kernelVersion };
}

/** The beginning and the end of each. */
function logFetches(logger: Logger): (progress: FetchProgress) => void {
  const begun = new Set<string>();
  return ({ component, receivedBytes, totalBytes }) => {
    if (!begun.has(component)) logger.info({ component, totalBytes }, "Fetching a component");
    begun.add(component);
    if (receivedBytes === totalBytes) logger.info({ component }, "Fetched a component");
  };
}

/** Sandboxes are named as in the lines of requests, so that one search finds both. Never throws. */
export function onNotice(logger: Logger, metrics: ServerMetrics): (notice: SandboxNotice) => void {
  return (notice) => {
    try {
      if (notice.kind === "stage") metrics.onStartStage(notice.stage);
      else if (notice.kind === "warning") logger.warn(notice.details, notice.message);
      else if (notice.kind === "info") logger.info(notice.details, notice.message);
      else if (notice.kind === "event") {
        const { type, message, details } = notice.event;
        const level = type === "failed" ? "warn" : "info";
        const { namespace, name } = notice.key;
        logger[level]({ ...details, namespace, sandbox: name, event: type }, message);
      }
    } catch (error) {
      logger.error({ error: messageOf(error) }, "A notice of a sandbox got lost");
    }
  };
}
