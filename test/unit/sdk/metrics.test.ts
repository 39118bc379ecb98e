import { beforeEach, describe, expect, it } from "vitest";
import { MsbError, Sandbox } from "../../../src/index.js";
import { errorOf, KEY, sdkApp, type SdkApp } from "../../helpers/sdk.js";

let app: SdkApp;
let sandbox: Sandbox;
beforeEach(async () => {
  app = await sdkApp();
  app.sandboxes.add("default", "box");
  sandbox = await Sandbox.connect("box", { serverUrl: app.serverUrl });
});

describe("metrics", () => {
  it("are percent, MiB and bytes", async () => {
    expect(await sandbox.metrics.cpu()).toBe(12.5);
    expect(await sandbox.metrics.memory()).toBe(119);
    expect(await sandbox.metrics.disk()).toBe(10_485_761);
    expect(await sandbox.metrics.isRunning()).toBe(true);
  });

  it("come all together, with what the guest says", async () => {
    const guest = {
      uptimeMs: 1,
      cpuPercent: 2,
      memoryUsedMiB: 3,
      memoryTotalMiB: 4,
      diskUsedBytes: 5,
      diskTotalBytes: 6,
      processes: 7,
      load1: 0.5,
    };
    app.sandboxes.metricsOf = { guest };
    expect(await sandbox.metrics.all()).toEqual({
      name: "box",
      namespace: "default",
      running: true,
      cpuUsage: 12.5,
      memoryUsage: 119,
      diskUsage: 10_485_761,
      guest,
    });
  });

  it("are null for what the server stopped", async () => {
    await app.sandboxes.stop(KEY);
    expect(await sandbox.metrics.all()).toMatchObject({
      running: false,
      cpuUsage: null,
      memoryUsage: null,
      diskUsage: null,
      guest: null,
    });
    expect(await sandbox.metrics.isRunning()).toBe(false);
  });

  it("know that what is gone does not run", async () => {
    app.sandboxes.stored.clear();
    expect(await sandbox.metrics.isRunning()).toBe(false);
    expect((await errorOf(sandbox.metrics.cpu())).code).toBe("MSB_ERR_SANDBOX_NOT_FOUND");
  });

  it("say what else is wrong, and do not wait longer than they may", async () => {
    app.sandboxes.before.metrics = () => new Promise(() => {});
    const error = await errorOf(sandbox.metrics.isRunning({ timeout: 0.05 }));
    expect(error.code).toBe("MSB_ERR_REQUEST_TIMEOUT");
    app.sandboxes.before.metrics = () => {
      throw new MsbError("MSB_ERR_AGENT_UNREACHABLE", "Its agent does not answer.");
    };
    expect((await errorOf(sandbox.metrics.isRunning())).code).toBe("MSB_ERR_AGENT_UNREACHABLE");
  });
});
