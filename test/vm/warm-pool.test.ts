/** Guests that run ahead of their sandboxes, under libkrun, which cannot keep any. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PYTHON_IMAGE } from "../helpers/server-images.js";
import { ServerHome } from "../helpers/server-home.js";
import { TestServer } from "../helpers/server-process.js";
import { out, SMALL, WireSandbox } from "../helpers/wire.js";

const config = { ...SMALL, image: PYTHON_IMAGE, memory: 512 };
const MADE = { timeout: 120_000 };

describe("under libkrun", () => {
  let home: ServerHome;
  let server: TestServer;
  const env = { MSB_WARM_GUESTS: "1", MSB_VCPU_BUDGET: "8" };
  beforeAll(async () => {
    home = await ServerHome.make();
    server = await TestServer.start({ driver: "libkrun", home, env });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await home?.[Symbol.asyncDispose]();
  });

  const box = (name: string): WireSandbox => new WireSandbox(server, name);
  const ready = (): number => server.fullLog().match(/A guest is ready ahead/g)?.length ?? 0;
  const vmOf = (name: string): string | undefined =>
    new RegExp(`"vm":"(sb-\\w+)"[^\n]*"sandbox":"${name}","event":"running"`).exec(
      server.fullLog(),
    )?.[1];

  it("the second sandbox of a kind has a guest that ran before it was asked for, and is its own", async () => {
    await box("first").start(config);
    await expect.poll(ready, MADE).toBe(1);
    const ids = server.fullLog();
    await box("second").start(config);
    expect(ids).toContain(`"vm":"${vmOf("second")}"`);
    const code =
      "import os, socket, time\n(socket.gethostname(), abs(time.time() - %) < 10, os.getpid() > 0)";
    const { output } = await box("second").run(code.replace("%", String(Date.now() / 1000)));
    expect(output).toEqual(out("('second', True, True)"));
    expect((await box("first").run("import socket; socket.gethostname()")).output).toEqual(
      out("'first'"),
    );
  });

  it("a guest that nobody got ends with the next server when its own is killed", async () => {
    await expect.poll(ready, MADE).toBe(2);
    await server.kill();
    server = await TestServer.start({ driver: "libkrun", home, env });
    expect((await box("first").run("2")).output).toEqual(out("2"));
    await expect.poll(() => server.fullLog(), MADE).toMatch(/belonged to no sandbox and was ended/);
  });
});
