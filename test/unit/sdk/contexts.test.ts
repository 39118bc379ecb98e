import { beforeEach, describe, expect, it } from "vitest";
import { NodeSandbox, Sandbox } from "../../../src/index.js";
import { END } from "../../helpers/fake-sandboxes.js";
import { callsOf, collect, errorOf, KEY, sdkApp, type SdkApp } from "../../helpers/sdk.js";

let app: SdkApp;
let sandbox: Sandbox;
beforeEach(async () => {
  app = await sdkApp();
  app.sandboxes.add("default", "box");
  sandbox = await Sandbox.connect("box", { serverUrl: app.serverUrl });
});

describe("contexts", () => {
  it("are made for a language, a folder and variables", async () => {
    const opts = { language: "node", workdir: "/srv", env: { A: "1" } } as const;
    const context = await sandbox.contexts.create(opts);
    expect(context).toMatchObject({ id: "c1", language: "node", isDefault: false });
    expect(context.info).toMatchObject({ workdir: "/srv", env: ["A=1"], state: "absent" });
    await sandbox.contexts.create();
    const node = await NodeSandbox.connect("box", { serverUrl: app.serverUrl });
    await node.contexts.create();
    expect(callsOf(app).map(([, , what]) => what)).toEqual([
      { language: "node", workdir: "/srv", env: ["A=1"] },
      { language: "python" },
      { language: "node" },
    ]);
  });

  it("are listed with the default ones", async () => {
    await sandbox.contexts.create();
    const contexts = await sandbox.contexts.list();
    expect(contexts.map(({ id, isDefault }) => [id, isDefault])).toEqual([
      ["python", true],
      ["c1", false],
    ]);
  });

  it("run code, are restarted, interrupted and deleted", async () => {
    const context = await sandbox.contexts.create({ language: "node" });
    expect(await context.run("1", { timeout: 1 })).toMatchObject({ language: "node" });
    expect(await collect(context.runStream("2"))).toEqual([END]);
    await context.restart();
    expect(context.info.state).toBe("absent");
    expect(await context.interrupt()).toBe(true);
    await context.delete();
    expect(callsOf(app).slice(1)).toEqual([
      ["runCode", KEY, { language: "node", code: "1", timeoutMs: 1000, contextId: "c1" }, {}],
      ["runCode", KEY, { language: "node", code: "2", timeoutMs: 0, contextId: "c1" }, {}],
      ["restartContext", KEY, "c1"],
      ["interruptCode", KEY, "c1"],
      ["deleteContext", KEY, "c1"],
    ]);
    expect((await errorOf(context.restart())).code).toBe("MSB_ERR_CONTEXT_NOT_FOUND");
  });

  it("end with their sandbox", async () => {
    const context = await sandbox.contexts.create();
    await sandbox.stop();
    const calls = [
      () => context.run("1"),
      () => collect(context.runStream("1")),
      () => context.restart(),
      () => context.interrupt(),
      () => context.delete(),
    ];
    for (const call of calls) expect((await errorOf(call)).code).toBe("MSB_ERR_INVALID_STATE");
  });
});

it("A sandbox interrupts the default context of its language", async () => {
  const node = await NodeSandbox.connect("box", { serverUrl: app.serverUrl });
  expect(await node.interrupt()).toBe(true);
  expect(await sandbox.interrupt()).toBe(true);
  expect(callsOf(app)).toEqual([
    ["interruptCode", KEY, "node"],
    ["interruptCode", KEY, "python"],
  ]);
});
