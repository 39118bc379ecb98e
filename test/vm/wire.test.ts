/** The wire contract of the microsandbox 0.2 server where sandboxes really run: their life, names, metrics, the envelope. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NODE_IMAGE, PYTHON_IMAGE } from "../helpers/server-images.js";
import { TestServer } from "../helpers/server-process.js";
import { testDrivers } from "../helpers/vm-fixture.js";
import { out, rowsOf, SMALL, textOf, type FlatError, WireSandbox } from "../helpers/wire.js";

/** Rows that run on the emulated KVM host, too. */
const ESSENTIAL = [
  "a sandbox starts, runs code and commands, is measured and stops, in the words of the contract",
  "starting what runs changes nothing and keeps the state of its code",
  "a stopped sandbox stops again, is listed without numbers, and starts without an image with its files",
];

describe.each(testDrivers)("the wire under %s", (driver) => {
  let server: TestServer;
  let count = 0;
  beforeAll(async () => {
    server = await TestServer.start({ driver });
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const sandbox = (namespace?: string): WireSandbox =>
    new WireSandbox(server, `w${++count}`, namespace);
  const row = rowsOf(it, driver, ESSENTIAL);

  row(ESSENTIAL[0]!, async () => {
    const params = { namespace: "default", sandbox: "n1" };
    const config = { image: "microsandbox/python", memory: 512, cpus: 1 };
    const started = await server.rpc("sandbox.start", { ...params, config });
    expect(started.status).toBe(200);
    expect(started.headers.get("content-type")).toMatch(/^application\/json/);
    expect(started.body).toEqual({
      jsonrpc: "2.0",
      result: "Sandbox n1 started successfully",
      id: "1",
    });
    const code = { ...params, language: "python", code: "print('hi')\n1+1" };
    expect((await server.rpc("sandbox.repl.run", code)).body).toEqual({
      jsonrpc: "2.0",
      result: { status: "success", language: "python", output: out("hi", "2") },
      id: "1",
    });
    const command = { ...params, command: "ls", args: ["/nonexistent"], timeout: 30 };
    expect((await server.rpc("sandbox.command.run", command)).body).toEqual({
      jsonrpc: "2.0",
      result: {
        command: "ls",
        args: ["/nonexistent"],
        exit_code: 1,
        success: false,
        output: [{ stream: "stderr", text: "ls: /nonexistent: No such file or directory" }],
      },
      id: "1",
    });
    const metrics = await server.rpc<{ result: { sandboxes: object[] } }>(
      "sandbox.metrics.get",
      params,
    );
    expect(metrics.body.result.sandboxes).toEqual([
      {
        namespace: "default",
        name: "n1",
        running: true,
        cpu_usage: expect.any(Number),
        memory_usage: expect.any(Number),
        disk_usage: expect.any(Number),
      },
    ]);
    expect((await server.rpc("sandbox.stop", params)).body).toEqual({
      jsonrpc: "2.0",
      result: "Sandbox n1 stopped successfully",
      id: "1",
    });
    expect(await server.home.settled([server.pid])).toEqual([]);
  });

  row(ESSENTIAL[1]!, async () => {
    const box = sandbox();
    await box.start({ ...SMALL, image: PYTHON_IMAGE });
    await box.run("x = 42");
    expect(await box.start({ ...SMALL, image: NODE_IMAGE, memory: 300 })).toBe(
      `Sandbox ${box.name} started successfully`,
    );
    expect(await box.start()).toBe(`Sandbox ${box.name} started successfully`);
    expect((await box.run("x")).output).toEqual(out("42"));
    await box.stop();
  });

  row(ESSENTIAL[2]!, async () => {
    const box = sandbox();
    await box.start({ ...SMALL, image: PYTHON_IMAGE });
    await box.run("open('kept', 'w').write('file'); y = 1");
    expect(await box.stop()).toBe(`Sandbox ${box.name} stopped successfully`);
    expect(await box.stop()).toBe(`Sandbox ${box.name} stopped successfully`);
    expect(await box.metrics()).toEqual({
      namespace: "default",
      name: box.name,
      running: false,
      cpu_usage: null,
      memory_usage: null,
      disk_usage: null,
    });
    const refused = await box.tryCommand("true");
    expect(refused).toMatchObject({ status: 500, body: { code: 5002 } });
    await box.start();
    expect((await box.command("cat", ["kept"])).output).toEqual(out("file"));
    expect(textOf((await box.run("y")).output, "stderr")).toContain("NameError");
    await box.stop();
  });

  row("namespaces keep sandboxes of one name apart, and `*` measures all of them", async () => {
    const [one, two] = ["ns-one", "ns_two"].map((ns) => new WireSandbox(server, "same", ns));
    await Promise.all([one!.start(SMALL), two!.start(SMALL)]);
    await one!.sh("echo one > /who");
    await two!.sh("echo two > /who");
    expect(await one!.sh("cat /who")).toEqual(out("one"));
    expect(await two!.sh("cat /who")).toEqual(out("two"));
    await two!.stop();
    const all = await server.result<{ sandboxes: { namespace: string; running: boolean }[] }>(
      "sandbox.metrics.get",
      { namespace: "*", sandbox: "same" },
    );
    expect(all.sandboxes.map(({ namespace, running }) => [namespace, running])).toEqual([
      ["ns-one", true],
      ["ns_two", false],
    ]);
    const none = { namespace: "*", sandbox: "nobody" };
    expect(await server.result("sandbox.metrics.get", none)).toEqual({ sandboxes: [] });
    const whole = await server.result<{ sandboxes: object[] }>("sandbox.metrics.get", {
      namespace: "ns-one",
      sandbox: null,
    });
    expect(whole.sandboxes).toHaveLength(1);
    await one!.stop();
  });

  row("many starts of one name at once are one start", async () => {
    const box = sandbox();
    const answers = await Promise.all(Array.from({ length: 8 }, () => box.start(SMALL)));
    expect(new Set(answers)).toEqual(new Set([`Sandbox ${box.name} started successfully`]));
    await box.sh("echo once >> /starts");
    expect(await box.sh("cat /starts; hostname | wc -l")).toEqual(out("once", "1"));
    await Promise.all([box.stop(), box.stop(), box.stop()]);
    expect(await server.home.settled([server.pid])).toEqual([]);
  });

  row("a stop makes way for a start that follows at once", async () => {
    const box = sandbox();
    for (let round = 0; round < 3; round += 1) {
      await box.start(round === 0 ? SMALL : undefined);
      await box.sh(`echo ${round} >> /rounds`);
      await box.stop();
    }
    await box.start();
    expect(await box.sh("cat /rounds")).toEqual(out("0", "1", "2"));
    await box.stop();
  });

  row("the config reaches the guest: memory, CPUs, environment, folder", async () => {
    const box = sandbox();
    const envs = ["COLOR=blue as the sky", "IMAGE_SAYS=overridden"];
    const config = { ...SMALL, image: PYTHON_IMAGE, memory: 384, cpus: 2, envs, workdir: "/tmp" };
    await box.start({ ...config, unknown: "is ignored", exec: "has no effect", volumes: [] });
    expect(await box.sh('nproc; pwd; echo "$COLOR|$IMAGE_SAYS"')).toEqual(
      out("2", "/tmp", "blue as the sky|overridden"),
    );
    const code = "import os; os.getcwd(), os.environ['COLOR'], os.cpu_count()";
    expect((await box.run(code)).output).toEqual(out("('/tmp', 'blue as the sky', 2)"));
    const [memory] = await box.sh("awk '/MemTotal/ {print $2}' /proc/meminfo");
    expect(Number(memory!.text) / 1024).toBeGreaterThan(384 * 0.75);
    expect(Number(memory!.text) / 1024).toBeLessThanOrEqual(384);
    await box.stop();
  });

  row(
    "metrics are of the machine: CPU that is burnt, memory and disk that are filled",
    async () => {
      const box = sandbox();
      await box.start(SMALL);
      const before = await box.metrics();
      expect(before.memory_usage).toBeGreaterThan(10);
      expect(Number.isInteger(before.memory_usage)).toBe(true);
      const busy = box.command("sh", [
        "-c",
        "dd if=/dev/zero of=/big bs=1M count=40 && timeout 4 yes > /dev/null",
      ]);
      await box.metrics();
      await expect
        .poll(async () => (await box.metrics()).cpu_usage, { timeout: 20_000, interval: 1_000 })
        .toBeGreaterThan(20);
      await busy;
      const after = await box.metrics();
      expect(after.disk_usage! - before.disk_usage!).toBeGreaterThan(35 * 1024 ** 2);
      expect(Number.isInteger(after.disk_usage)).toBe(true);
      await box.stop();
    },
  );

  describe("refuses", () => {
    const start = (params: unknown) => server.rpc<FlatError>("sandbox.start", params);
    const long = "x".repeat(64);

    it.each<[string, Record<string, string>, string]>([
      ["an empty name", { sandbox: "" }, "Sandbox name cannot be empty"],
      ["a long name", { sandbox: long }, "Sandbox name cannot exceed 63 characters"],
      [
        "a name with others signs",
        { sandbox: "a b" },
        "Sandbox name can only contain alphanumeric characters, hyphens, or underscores",
      ],
      [
        "a name that begins with a sign",
        { sandbox: "-a" },
        "Sandbox name must start with an alphanumeric character",
      ],
      [
        "`*` as a name",
        { sandbox: "*" },
        "Sandbox name can only contain alphanumeric characters, hyphens, or underscores",
      ],
      ["an empty namespace", { namespace: "" }, "Namespace cannot be empty"],
      ["a long namespace", { namespace: long }, "Namespace cannot exceed 63 characters"],
      [
        "all namespaces",
        { namespace: "*" },
        "Wildcard namespace (*) is not valid for sandbox creation",
      ],
      [
        "a namespace with dots",
        { namespace: "a.b" },
        "Namespace can only contain alphanumeric characters, hyphens, or underscores",
      ],
      [
        "a namespace that begins with a sign",
        { namespace: "_a" },
        "Namespace must start with an alphanumeric character",
      ],
    ])("%s", async (_what, names, error) => {
      const params = { namespace: "default", sandbox: "fine", ...names, config: SMALL };
      expect(await start(params)).toMatchObject({ status: 400, body: { error, code: 2001 } });
    });

    row("what cannot be started, and says why", async () => {
      const key = { namespace: "refusals", sandbox: "nothing" };
      expect(await start(key)).toMatchObject({
        status: 400,
        body: {
          error:
            "No configuration provided and no existing configuration found for sandbox 'nothing'",
          code: 2001,
        },
      });
      for (const config of [
        { ...SMALL, memory: 1.5 },
        { ...SMALL, memory: -1 },
        { ...SMALL, cpus: "2" },
        "text",
      ]) {
        const { status, body } = await start({ ...key, config });
        expect({ status, code: body.code }).toEqual({ status: 400, code: 2001 });
        expect(body.error).toMatch(/^Invalid params for sandbox\.start: /);
      }
      const missing = await start({
        ...key,
        config: { ...SMALL, image: "127.0.0.1:1/none/such:1" },
      });
      expect(missing).toMatchObject({ status: 500, body: { code: 5002 } });
      expect(missing.body.error).toContain("127.0.0.1:1");
      expect(missing.body.error).not.toContain("timeout");
      const later = sandbox();
      expect(
        await start({ ...later.key, config: { ...SMALL, image: "localhost/test/other" } }),
      ).toMatchObject({ status: 500 });
      await later.start(SMALL);
      await later.stop();
    });

    row("to stop or measure what it does not know", async () => {
      const call = (method: string, namespace: string, name: string) =>
        server.rpc<FlatError>(method, { namespace, sandbox: name });
      const box = sandbox("known");
      await box.start(SMALL);
      await box.stop();
      expect(await call("sandbox.stop", "never-used", "x")).toMatchObject({
        status: 400,
        body: { error: "Namespace directory 'never-used' does not exist", code: 2001 },
      });
      expect(await call("sandbox.stop", "known", "x")).toMatchObject({
        status: 500,
        body: { code: 5002 },
      });
      expect(await call("sandbox.metrics.get", "never-used", "x")).toMatchObject({
        status: 400,
        body: { code: 2001 },
      });
      expect(await call("sandbox.metrics.get", "known", "x")).toMatchObject({
        status: 500,
        body: { code: 5002 },
      });
      for (const method of ["sandbox.repl.run", "sandbox.command.run"]) {
        const params = {
          namespace: "known",
          sandbox: "x",
          language: "python",
          code: "1",
          command: "true",
        };
        expect(await server.rpc(method, params)).toMatchObject({
          status: 500,
          body: { code: 5002 },
        });
        const { namespace: _, ...without } = params;
        expect(await server.rpc(method, without)).toMatchObject({
          status: 400,
          body: { code: 2001 },
        });
      }
    });

    row("requests that are none, each in its way", async () => {
      const post = (body: unknown, headers?: Record<string, string>) =>
        server.post<string>("/api/v1/rpc", body, headers === undefined ? {} : { headers });
      const call = { jsonrpc: "2.0", method: "sandbox.nothing", params: {}, id: 7 };
      const broken = await post("{");
      expect(broken.status).toBe(400);
      expect(broken.headers.get("content-type")).toMatch(/^text\/plain/);
      expect(broken.body).toMatch(/^Failed to parse the request body as JSON/);
      const strange = [[call], { ...call, method: 1 }, { method: "x", id: 1 }, "text", null];
      for (const body of strange) {
        const answer = await post(JSON.stringify(body));
        expect([answer.status, answer.body]).toEqual([
          422,
          expect.stringMatching(/^Failed to deserialize the JSON body into the target type/),
        ]);
      }
      expect((await post(call, { "content-type": "text/plain" })).status).toBe(415);
      expect(await post({ ...call, jsonrpc: "1.0" })).toMatchObject({
        status: 400,
        body: {
          jsonrpc: "2.0",
          error: { code: -32600, message: "Invalid or missing jsonrpc version field" },
          id: 7,
        },
      });
      expect((await post(call)).body).toEqual({
        jsonrpc: "2.0",
        error: { code: -32601, message: "Method not found: sandbox.nothing" },
        id: 7,
      });
      expect((await post(call)).status).toBe(404);
      const { id: _id, ...notification } = call;
      expect((await post(notification)).body).not.toHaveProperty("id");
      expect((await fetch(`${server.url}/api/v1/rpc`)).status).toBe(405);
      expect((await fetch(`${server.url}/api/v1/nothing`)).status).toBe(404);
      expect(await (await fetch(`${server.url}/api/v1/health`)).json()).toEqual({
        message: "Service is healthy",
      });
      const health = { ...call, method: "sandbox.metrics.get", params: { namespace: "*" } };
      expect((await server.post("//api/v1/rpc", health)).status).toBe(200);
    });

    row.check();
  });
});
