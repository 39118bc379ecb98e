/**
 * The server of the real process handling (dist/server/process/serve.js) around an application of a few routes.
 * MSB_FAKE says what it does: `slow-start` starts until it is told to stop, `fails` and `dies` do not get there,
 * `crashes` throws where nobody catches when it is asked to, `stubborn` never ends its sandboxes.
 */
import { appendFileSync } from "node:fs";
import { fastify } from "fastify";
import { MsbError } from "../../dist/errors.js";
import { serve } from "../../dist/server/process/serve.js";

/** What happened, in the file that MSB_FAKE_EVENTS names: one line each. */
function note(event) {
  const file = process.env.MSB_FAKE_EVENTS;
  if (file) appendFileSync(file, `${event}\n`);
}

async function untilAborted(signal) {
  const timer = setInterval(() => {}, 60_000);
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  clearInterval(timer);
}

async function launch({ logger, settings, signal, resetKey }) {
  const mode = process.env.MSB_FAKE ?? "";
  note(`launch reset=${resetKey} driver=${settings.hypervisor.hypervisor}`);
  logger.info("launching");
  if (mode === "dies") process.exit(9);
  if (mode === "fails") throw new MsbError("MSB_ERR_KVM_UNAVAILABLE", "No microVM can run here.");
  if (mode === "slow-start") {
    await untilAborted(signal);
    note("launch undone");
    throw signal.reason;
  }
  const app = fastify({ loggerInstance: logger });
  app.get("/api/v1/health", async () => ({ message: "Service is healthy" }));
  app.get("/api/v1/info", async (request) => {
    note(`info authorized=${(request.headers.authorization ?? "").startsWith("Bearer msb_")}`);
    return { counts: { running: 2, stopped: 1, failed: 0 }, limits: {} };
  });
  app.get("/slow/:ms", async (request) => {
    note("slow begins");
    await new Promise((resolve) => setTimeout(resolve, Number(request.params.ms)));
    note("slow ends");
    return { slow: true };
  });
  app.get("/environment", async () => ({ env: process.env, cwd: process.cwd() }));
  app.get("/crash", async () => {
    setImmediate(() => {
      throw new TypeError("thrown where nobody catches");
    });
    return {};
  });
  return {
    app,
    close: async ({ sandboxes }) => {
      note(`close ${sandboxes}`);
      if (mode === "stubborn") await new Promise(() => setInterval(() => {}, 60_000));
    },
  };
}

export const fakeServer = {
  startServer: (settings, opts) => serve(settings, opts, launch),
};
