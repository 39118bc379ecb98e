import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AgentClient } from "../../../src/agent/agent-client.js";
import { Channel } from "../../../src/agent/frame.js";
import { MsbError } from "../../../src/errors.js";
import type { OpenKernelsOpts } from "../../../src/kernel/kernels.js";
import { GuestKernels } from "../../../src/kernel/open-kernels.js";
import type { RunCodeRequest, RunEvent } from "../../../src/kernel/run-types.js";
import { FakeAgent } from "../../helpers/fake-agent.js";
import { FAKE_PROGRAM, FakeKernels } from "../../helpers/fake-kernel.js";

type End = Extract<RunEvent, { type: "end" }>;

describe("kernels", () => {
  let agent: FakeAgent;
  let fakes: FakeKernels;
  let client: AgentClient;
  let kernels: GuestKernels;
  let changes: number;

  beforeEach(async () => {
    agent = await FakeAgent.start();
    fakes = new FakeKernels(agent);
    changes = 0;
    client = await connect();
    kernels = open();
  });
  afterEach(async () => {
    client.close();
    await agent.stop();
  });

  const connect = (): Promise<AgentClient> =>
    AgentClient.connect(agent.socketPath, { nonce: "ab".repeat(16) });
  const open = (opts: Partial<OpenKernelsOpts> = {}): GuestKernels =>
    new GuestKernels(
      client,
      { env: ["A=1"], workdir: "/work", user: "app", onChange: () => (changes += 1), ...opts },
      async () => FAKE_PROGRAM,
    );
  const run = (
    code: string,
    opts: Partial<RunCodeRequest> & { signal?: AbortSignal } = {},
  ): AsyncGenerator<RunEvent, void, void> => {
    const { signal, ...rest } = opts;
    const request = { language: "python", code, timeoutMs: 0, ...rest } as const;
    return kernels.run(request, signal ? { signal } : {});
  };
  const all = async (code: string, opts: Partial<RunCodeRequest> = {}): Promise<RunEvent[]> =>
    collect(run(code, opts));
  const endOf = (events: readonly RunEvent[]): End => events.at(-1) as End;
  const stdoutOf = (events: readonly RunEvent[]): string =>
    events.map((event) => (event.type === "stdout" ? event.text : "")).join("");

  it("starts the interpreter with a stub, hands it the program, and runs code", async () => {
    const events = await all("print hi\nwarn oh\nvalue 2\nprint there");
    expect(events).toEqual([
      { type: "stdout", text: "hi\n" },
      { type: "stderr", text: "oh\n" },
      { type: "result", result: { isValue: true, text: "2" } },
      { type: "stdout", text: "there\n" },
      {
        type: "end",
        status: "success",
        reason: "completed",
        durationMs: expect.any(Number) as number,
        stateLost: false,
      },
    ]);
    expect(fakes.last.start).toMatchObject({
      argv: ["fake3", "-c", "stub"],
      env: ["A=1"],
      cwd: "/work",
      user: "app",
      control: true,
    });
    expect(fakes.last.source).toBe(FAKE_PROGRAM.source.toString());
  });

  it("keeps one interpreter for all calls, and one for each language", async () => {
    await all("print 1");
    await all("print 2");
    await all("print 3", { language: "node" });
    expect(fakes.kernels.map(({ codes }) => codes)).toEqual([["print 1", "print 2"], ["print 3"]]);
  });

  it("reports an exception as an error, and the interpreter lives on", async () => {
    const events = await all("raise ValueError");
    expect(events[0]).toEqual({
      type: "error",
      error: { name: "ValueError", value: "why", traceback: ["ValueError: why"] },
    });
    expect(endOf(events)).toMatchObject({ status: "error", reason: "exception", stateLost: false });
    expect(endOf(await all("print 1")).status).toBe("success");
    expect(fakes.kernels).toHaveLength(1);
  });

  it("takes the calls on one context in order, and those on others beside them", async () => {
    const order: string[] = [];
    const looping = all("loop").then((events) => order.push(endOf(events).reason));
    await until(() => fakes.kernels[0]?.codes.length === 1);
    const waiting = all("print second").then(() => order.push("second"));
    const third = all("print third").then(() => order.push("third"));
    expect(endOf(await all("print beside", { language: "node" })).status).toBe("success");
    expect(order).toEqual([]);
    expect(await kernels.interrupt("python")).toBe(true);
    await Promise.all([looping, waiting, third]);
    expect(order).toEqual(["interrupted", "second", "third"]);
    expect(await kernels.interrupt("python")).toBe(false);
  });

  it("interrupts also code that has not begun yet, and code that handles it once", async () => {
    const late = all("begin-late 2");
    await until(() => fakes.kernels[0]?.codes.length === 1);
    expect(await kernels.interrupt("python")).toBe(true);
    expect(endOf(await late).reason).toBe("interrupted");
    expect(fakes.last.signals).toEqual([2, 2, 2]);

    // It has begun: what it makes of the signal is its own.
    const handling = all("print begun\nbegin-late 1", { timeoutMs: 1_500 });
    await until(() => fakes.kernels[0]?.codes.length === 2);
    await kernels.interrupt("python");
    expect(endOf(await handling).reason).toBe("timeout");
    expect(fakes.last.signals).toEqual([2, 2, 2, 2, 2]);
  });

  it("lets 64 calls wait for a context, and tells others to come again", async () => {
    const looping = all("loop");
    await until(() => fakes.kernels[0]?.codes.length === 1);
    const waiting = Array.from({ length: 64 }, () => all("print 1"));
    await expect(all("print 1")).rejects.toMatchObject({
      code: "MSB_ERR_RATE_LIMITED",
      details: { retryAfterSeconds: 1 },
    });
    await kernels.interrupt("python");
    const ends = (await Promise.all([looping, ...waiting])).map(endOf);
    expect(ends.filter(({ status }) => status === "success")).toHaveLength(64);
    expect(endOf(await all("print 1")).status).toBe("success");
  });

  it("counts messages that say nothing, so that they come to an end", async () => {
    kernels = open({ maxOutputBytes: 64 * 1024 });
    await expect(all("nothings 1000\nloop")).rejects.toMatchObject({
      code: "MSB_ERR_OUTPUT_LIMIT",
    });
  });

  it("kills what does not heed while its guest is out of reach, once it is back", async () => {
    const running = all("loop", { timeoutMs: 100 });
    await until(() => fakes.kernels[0]?.codes.length === 1);
    const lost = new Promise((resolve) => client.onDisconnect(resolve));
    agent.dropConnection();
    await lost;
    expect(endOf(await running)).toMatchObject({ reason: "timeout", stateLost: true });
    expect(fakes.last.isClosed).toBe(false);
    fakes.announce();
    await client.reconnect();
    expect(fakes.last.isClosed).toBe(true);
    expect(endOf(await all("print 1"))).toMatchObject({ status: "success" });
    expect(fakes.kernels).toHaveLength(2);
  });

  it("interrupts at the deadline, which counts from the start of the code", async () => {
    const first = all("loop", { timeoutMs: 150 });
    const second = all("print 1", { timeoutMs: 60_000 });
    const events = await first;
    expect(endOf(events)).toMatchObject({ status: "error", reason: "timeout", stateLost: false });
    expect(endOf(events).durationMs).toBeGreaterThanOrEqual(140);
    expect(endOf(await second)).toMatchObject({ status: "success" });
    expect(fakes.last.signals).toEqual([2]);
  });

  it("kills what does not heed the interrupt within 2 s, keeps its output, and starts anew", async () => {
    const startedAt = performance.now();
    const events = await all("print before\nstubborn", { timeoutMs: 100 });
    expect(performance.now() - startedAt).toBeLessThan(2_100);
    expect(stdoutOf(events)).toBe("before\n");
    expect(endOf(events)).toMatchObject({ reason: "timeout", stateLost: true });
    expect(fakes.last.signals).toEqual([2, 2, 9]);
    expect(endOf(await all("print 1"))).toMatchObject({ status: "success", stateLost: false });
    expect(fakes.kernels).toHaveLength(2);
  });

  it("keeps the deadline also when nobody reads", async () => {
    const iterator = run("flood 3000000\nstubborn", { timeoutMs: 300 });
    await iterator.next();
    await new Promise((resolve) => setTimeout(resolve, 1_800));
    const rest = await collect(iterator);
    expect(endOf(rest)).toMatchObject({ reason: "timeout", stateLost: true });
    expect(endOf(rest).durationMs).toBeLessThan(2_300);
  });

  it("makes a guest wait for a slow reader", async () => {
    const iterator = run("flood 3000000");
    await iterator.next();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(fakes.last.confirmed).toBeLessThan(700_000);
    const rest = await collect(iterator);
    expect(stdoutOf(rest).length).toBeGreaterThan(2_900_000);
    expect(endOf(rest).status).toBe("success");
  });

  it("interrupts a call whose reader leaves, before the next call", async () => {
    for await (const event of run("print 1\nloop")) {
      expect(event).toEqual({ type: "stdout", text: "1\n" });
      break;
    }
    expect(stdoutOf(await all("print 2"))).toBe("2\n");
    expect(fakes.last.signals).toEqual([2]);
    expect(fakes.kernels).toHaveLength(1);
  });

  it("ends at once when the signal aborts, and kills in the background what goes on", async () => {
    const controller = new AbortController();
    const aborted = collect(run("stubborn", { signal: controller.signal }));
    await until(() => fakes.kernels[0]?.codes.length === 1);
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
    expect(endOf(await all("print 1"))).toMatchObject({ status: "success", stateLost: true });
    expect(fakes.kernels[0]?.signals).toEqual([2, 2, 9]);
  });

  it("leaves the queue when the signal aborts while it waits", async () => {
    const first = all("loop", { timeoutMs: 200 });
    const waiting = collect(run("print 1", { signal: AbortSignal.timeout(50) }));
    await expect(waiting).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
    await first;
    expect(fakes.last.codes).toEqual(["loop"]);
  });

  it("interrupts what writes too much, and throws", async () => {
    kernels = open({ maxOutputBytes: 100_000 });
    await expect(all("flood 2000000\nloop")).rejects.toMatchObject({
      code: "MSB_ERR_OUTPUT_LIMIT",
      details: { maxBytes: 100_000 },
    });
    expect(stdoutOf(await all("print 1"))).toBe("1\n");
    expect(fakes.kernels).toHaveLength(1);
  });

  it.each([
    ["exit 3", "exited", "KernelExited", "code 3"],
    ["die 11", "died", "KernelDied", "SIGSEGV"],
    ["die oom", "died", "KernelDied", "out of memory"],
    ["hang-up", "died", "KernelDied", "closed its control channel"],
  ])("says how the interpreter ended: %s", async (code, reason, name, words) => {
    const events = await all(`print 1\n${code}`);
    expect(stdoutOf(events)).toBe("1\n");
    expect(events.at(-2)).toMatchObject({
      type: "error",
      error: { name, value: expect.stringContaining(words) as string },
    });
    expect(endOf(events)).toMatchObject({ status: "error", reason, stateLost: true });
    expect(endOf(await all("print 2"))).toMatchObject({ status: "success", stateLost: false });
    expect(fakes.kernels).toHaveLength(2);
    expect(fakes.kernels[0]?.isClosed).toBe(true);
  });

  it("tells the next call when the interpreter ended between two", async () => {
    await all("print 1");
    fakes.last.event({ type: "exec.exited", signal: 9 });
    await until(() => kernels.contexts()[0]?.state === "absent");
    expect(endOf(await all("print 2"))).toMatchObject({ status: "success", stateLost: true });
    expect(endOf(await all("print 3")).stateLost).toBe(false);
  });

  it("loses no state with an interpreter that ended before it ran any code", async () => {
    await kernels.prewarm("python");
    fakes.last.event({ type: "exec.exited", signal: 9 });
    await until(() => kernels.contexts()[0]?.state === "absent");
    expect(endOf(await all("print 1"))).toMatchObject({ status: "success", stateLost: false });
  });

  it("tries the next name of an interpreter, and says what is missing when there is none", async () => {
    fakes.installed.delete("fake3");
    await all("print 1");
    expect(fakes.last.start["argv"]).toEqual(["fake", "-c", "stub"]);
    fakes.installed.clear();
    await expect(kernels.prewarm("node")).rejects.toMatchObject({
      code: "MSB_ERR_KERNEL_UNAVAILABLE",
      message: expect.stringMatching(/node.*fake3, fake.*msb-ts\/node/) as string,
    });
    // It may be installed later.
    fakes.installed.add("fake3");
    await kernels.prewarm("node");
  });

  it("says what an interpreter wrote that ended at its start", async () => {
    fakes.onLoaded = (kernel) => {
      kernel.write(Channel.stderr, "Python 3.8 or newer is needed\n");
      kernel.event({ type: "exec.exited", exitCode: 1 });
    };
    await expect(kernels.prewarm("python")).rejects.toMatchObject({
      code: "MSB_ERR_KERNEL_UNAVAILABLE",
      message: expect.stringContaining("Python 3.8 or newer") as string,
    });
    expect(kernels.snapshot().contexts[0]?.stream).toBeNull();
  });

  it("gives what was written between two calls to the next", async () => {
    await all("print 1");
    fakes.last.write(Channel.stdout, "tick ");
    fakes.last.write(Channel.stderr, "tock\n");
    fakes.last.write(Channel.stdout, Buffer.alloc(100_000, "x"));
    await until(() => fakes.last.end > 100_000);
    agent.on("core.ping", () => ({ data: "" }));
    await client.ping();
    const events = await all("print 2");
    expect(events.slice(0, 2)).toEqual([
      { type: "stdout", text: "tick " },
      { type: "stderr", text: "tock\n" },
    ]);
    expect(stdoutOf(events)).toMatch(/^tick x+\n\[34474 more characters .*\]\n2\n$/);
  });

  it("says when it has seen a mark, with what was written before", async () => {
    const running = collect(run("loop"));
    await until(() => fakes.last?.codes.length === 1);
    const kernel = fakes.last;
    kernel.say({ type: "mark", number: 7 });
    await until(() => kernel.marked.length === 1);
    kernel.finish("completed");
    await running;
    // Between runs, too; and not for what is no number.
    kernel.say({ type: "mark", number: "8" });
    kernel.say({ type: "mark", number: -9 });
    await until(() => kernel.marked.length === 2);
    expect(kernel.marked).toEqual([7, -9]);
  });

  it("has one answer to marks under way, whatever is asked", async () => {
    await all("print 1");
    const kernel = fakes.last;
    kernel.isStuck = true;
    // The credit that is left lets about 8,000 answers through.
    for (let number = 1; number <= 12_000; number += 1) kernel.say({ type: "mark", number });
    await until(() => kernel.hasSentAll);
    agent.on("core.ping", () => ({ data: "" }));
    await client.ping();
    kernel.unstick();
    await until(() => kernel.marked.at(-1) === 12_000);
    expect(kernel.marked.length).toBeLessThan(10_000);
    expect(stdoutOf(await all("print 2"))).toBe("2\n");
  });

  it("decodes UTF-8 over the pieces in which it comes, and replaces what is none", async () => {
    const events = await all("bytes e282\nbytes ac20ff\nprint x\nbytes f09f");
    expect(stdoutOf(events)).toBe("€ \ufffdx\n\ufffd");
    expect(stdoutOf(await all("print next"))).toBe("next\n");
  });

  it("refuses code that is too long for a message", async () => {
    await expect(all("x".repeat(9 * 1024 * 1024))).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
    });
    expect(endOf(await all("print 1")).status).toBe("success");
  });

  it("has a context for each language, and makes, restarts and deletes more", async () => {
    expect(kernels.contexts()).toMatchObject([
      { id: "python", language: "python", isDefault: true, state: "absent", workdir: "/work" },
      { id: "node", language: "node", isDefault: true, state: "absent" },
    ]);
    const context = await kernels.create({ language: "python", workdir: "/x", env: ["B=2"] });
    expect(context).toMatchObject({ id: expect.stringMatching(/^[0-9a-f]{16}$/) as string });
    await all("print 1", { contextId: context.id });
    expect(fakes.last.start).toMatchObject({ env: ["A=1", "B=2"], cwd: "/x" });
    await expect(all("x", { contextId: context.id, language: "node" })).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
    });
    expect((await kernels.restart(context.id)).state).toBe("absent");
    expect(fakes.last.signals).toEqual([9]);
    expect(endOf(await all("print 1", { contextId: context.id })).stateLost).toBe(false);
    await kernels.delete(context.id);
    await until(() => fakes.last.isClosed);
    await expect(all("x", { contextId: context.id })).rejects.toMatchObject({
      code: "MSB_ERR_CONTEXT_NOT_FOUND",
    });
    await expect(kernels.delete("python")).rejects.toMatchObject({ code: "MSB_ERR_INVALID_STATE" });
  });

  it("ends an interpreter that hangs at its start with its context, and whoever waits for it", async () => {
    fakes.onLoaded = () => {};
    const { id } = await kernels.create({ language: "python" });
    const waiting = all("print 1", { contextId: id }).catch((error: unknown) => error);
    await until(() => fakes.kernels.length === 1 && fakes.last.source !== "");
    await kernels.delete(id);
    expect(fakes.last.signals).toEqual([9]);
    expect(await waiting).toMatchObject({ code: "MSB_ERR_CONTEXT_NOT_FOUND" });
  });

  it("starts anew for whoever waits when an interpreter hangs and its context is restarted", async () => {
    const becomeReady = fakes.onLoaded;
    fakes.onLoaded = () => {};
    const waiting = all("print 1");
    await until(() => fakes.kernels.length === 1 && fakes.last.source !== "");
    fakes.onLoaded = becomeReady;
    await kernels.restart("python");
    expect(stdoutOf(await waiting)).toBe("1\n");
    expect(fakes.kernels.map(({ signals }) => signals)).toEqual([[9], []]);
  });

  it("has at most 16 contexts besides the default ones", async () => {
    for (let n = 0; n < 16; n++) await kernels.create({ language: "node" });
    await expect(kernels.create({ language: "node" })).rejects.toMatchObject({
      code: "MSB_ERR_CONTEXT_LIMIT",
    });
  });

  it("keeps the environment of a context small enough for a request and the record", async () => {
    const env = [`A=${"x".repeat(20_000)}`, `B=${"x".repeat(20_000)}`];
    await expect(kernels.create({ language: "node", env })).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
    });
    expect(kernels.contexts()).toHaveLength(2);
  });

  it("ends what runs when its context is restarted", async () => {
    const running = all("loop");
    await until(() => fakes.kernels[0]?.codes.length === 1);
    await kernels.restart("python");
    expect(endOf(await running)).toMatchObject({ reason: "interrupted", stateLost: true });
    expect(endOf(await all("print 1")).stateLost).toBe(false);
  });

  it("throws what the guest was lost with", async () => {
    const running = all("loop");
    await until(() => fakes.kernels[0]?.codes.length === 1);
    client.close(new MsbError("MSB_ERR_VM_EXITED", "gone"));
    await expect(running).rejects.toMatchObject({ code: "MSB_ERR_VM_EXITED" });
  });

  describe("of an earlier server", () => {
    async function handOver(): Promise<void> {
      const snapshot = kernels.snapshot();
      kernels.close(new MsbError("MSB_ERR_SHUTTING_DOWN", "bye"));
      client.close();
      fakes.announce();
      client = await connect();
      kernels = open({ adopt: snapshot });
    }

    it("are taken over with their state", async () => {
      const context = await kernels.create({ language: "node" });
      await all("print 1", { contextId: context.id, language: "node" });
      expect(changes).toBe(2);
      await handOver();
      expect(kernels.contexts()[2]).toMatchObject({ id: context.id, state: "starting" });
      const events = await all("print 2", { contextId: context.id, language: "node" });
      expect(stdoutOf(events)).toBe("2\n");
      expect(endOf(events).stateLost).toBe(false);
      expect(fakes.kernels).toHaveLength(1);
      expect(fakes.last.codes).toEqual(["print 1", "print 2"]);
    });

    it("are let go without harm, and interrupted by who takes them over", async () => {
      const running = all("print old\nloop");
      await until(() => fakes.kernels[0]?.codes.length === 1);
      const { stream } = fakes.last;
      kernels.close(new MsbError("MSB_ERR_SHUTTING_DOWN", "bye"));
      await expect(running).rejects.toMatchObject({ code: "MSB_ERR_SHUTTING_DOWN" });
      expect(fakes.last.signals).toEqual([]);
      client.close();
      fakes.announce();
      client = await connect();
      kernels = open({ adopt: { contexts: [{ ...kernels.snapshot().contexts[0]!, stream }] } });
      const events = await all("print new");
      expect(stdoutOf(events)).toBe("new\n");
      expect(fakes.last.signals).toEqual([2]);
    });

    it("are killed and forgotten when they do not answer", async () => {
      await all("print 1");
      fakes.last.isDeaf = true;
      await handOver();
      expect(endOf(await all("print 2"))).toMatchObject({ status: "success", stateLost: true });
      expect(fakes.kernels[0]?.signals).toEqual([9]);
      expect(fakes.kernels).toHaveLength(2);
    });

    it("are forgotten when they are gone", async () => {
      await all("print 1");
      fakes.last.close();
      await handOver();
      await until(() => kernels.snapshot().contexts[0]?.stream === null);
      expect(endOf(await all("print 2"))).toMatchObject({ status: "success", stateLost: true });
    });
  });

  describe("of a saved guest", () => {
    async function goOn(): Promise<void> {
      const snapshot = kernels.snapshot();
      kernels.close();
      client.close();
      fakes.announce();
      client = await connect();
      kernels = open({ adopt: snapshot, isResumed: true });
    }

    it("go on, with random numbers of their own and a time of their own", async () => {
      await all("print 1");
      const { createdAt } = kernels.contexts()[0]!;
      await new Promise((resolve) => setTimeout(resolve, 5));
      await goOn();
      expect(stdoutOf(await all("print 2"))).toBe("2\n");
      expect(fakes.kernels).toHaveLength(1);
      expect(fakes.last.syncs).toMatchObject([{ reseed: true }]);
      expect(kernels.contexts()[0]!.createdAt > createdAt).toBe(true);
    });

    it("are not told to when they are an earlier server's", async () => {
      await all("print 1");
      const snapshot = kernels.snapshot();
      client.close();
      fakes.announce();
      client = await connect();
      kernels = open({ adopt: snapshot });
      await all("print 2");
      expect(fakes.last.syncs).toHaveLength(1);
      expect(fakes.last.syncs[0]).not.toHaveProperty("reseed");
    });

    it("have no state to lose, whether they are gone, deaf, or die before their first code", async () => {
      await kernels.prewarm("python");
      fakes.last.close();
      await goOn();
      await until(() => kernels.snapshot().contexts[0]?.stream === null);
      expect(endOf(await all("print 2")).stateLost).toBe(false);

      fakes.last.isDeaf = true;
      await goOn();
      expect(endOf(await all("print 3")).stateLost).toBe(false);
      expect(fakes.kernels[1]?.signals).toEqual([9]);

      await goOn();
      await kernels.prewarm("python");
      fakes.last.event({ type: "exec.exited", signal: 9 });
      await until(() => kernels.contexts()[0]?.state === "absent");
      expect(endOf(await all("print 4")).stateLost).toBe(false);
    });

    it("have one as soon as they have run code", async () => {
      await kernels.prewarm("python");
      await goOn();
      await all("print 1");
      fakes.last.event({ type: "exec.exited", signal: 9 });
      await until(() => kernels.contexts()[0]?.state === "absent");
      expect(endOf(await all("print 2")).stateLost).toBe(true);
    });
  });
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("it did not come to pass in 10 s");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function collect(events: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const collected: RunEvent[] = [];
  for await (const event of events) collected.push(event);
  return collected;
}
