/** Real interpreters in real guests, through the kernels of a sandbox. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentClient } from "../../src/agent/agent-client.js";
import type { Kernels, KernelsSnapshot } from "../../src/kernel/kernels.js";
import { openKernels } from "../../src/kernel/open-kernels.js";
import type { Language, RunEvent } from "../../src/kernel/run-types.js";
import type { Guest } from "../../src/sandbox/guest.js";
import { ensureRecipeImage } from "../helpers/image-fixtures.js";
import { testDrivers, VmFixture } from "../helpers/vm-fixture.js";

interface Dialect {
  readonly print: (text: string) => string;
  readonly warn: (text: string) => string;
  readonly assign: string;
  readonly raise: string;
  readonly errorName: string;
  readonly loop: string;
  /** Does not heed SIGINT. */
  readonly stubborn: string;
  readonly exit: string;
  readonly flood: string;
}

const DIALECTS: Record<Language, Dialect> = {
  python: {
    print: (text) => `print(${JSON.stringify(text)})`,
    warn: (text) => `import sys; print(${JSON.stringify(text)}, file=sys.stderr)`,
    assign: "kept = 41",
    raise: "1/0",
    errorName: "ZeroDivisionError",
    loop: "while True: pass",
    stubborn: "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
    exit: "import os; os._exit(7)",
    flood: "while True: print('x' * 10000)",
  },
  node: {
    print: (text) => `console.log(${JSON.stringify(text)})`,
    warn: (text) => `console.error(${JSON.stringify(text)})`,
    assign: "const kept = 41",
    raise: "throw new RangeError('no')",
    errorName: "RangeError",
    loop: "for (;;);",
    stubborn: "require('child_process').execSync('sleep 600')",
    exit: "process.kill(process.pid, 'SIGKILL'); for (;;);",
    flood: "for (;;) console.log('x'.repeat(10000));",
  },
};

describe.each(testDrivers)("kernels under %s", (driver) => {
  describe.each(["python", "node"] as const)("of %s", (language) => {
    const say = DIALECTS[language];
    let fixture: VmFixture;
    let guest: Guest;
    let kernels: Kernels;
    const opts = {
      env: ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root"],
      workdir: "/root",
      user: "root",
    };

    beforeAll(async () => {
      fixture = await VmFixture.open(driver);
      const { disk } = await ensureRecipeImage(language);
      guest = await fixture.boot({ imageDisk: disk, memoryMiB: 512 });
      kernels = await openKernels(guest.agent, opts);
      await kernels.prewarm(language);
    });
    afterAll(() => fixture?.dispose());

    async function run(
      code: string,
      { timeoutMs = 60_000, of = kernels }: { timeoutMs?: number; of?: Kernels } = {},
    ): Promise<RunEvent[]> {
      const events: RunEvent[] = [];
      for await (const event of of.run({ language, code, timeoutMs })) events.push(event);
      return events;
    }
    const lines = (events: readonly RunEvent[]): string[] =>
      events.flatMap((event) => {
        if (event.type === "stdout" || event.type === "stderr") {
          const texts = event.text.split("\n").filter((text) => text !== "");
          return texts.map((text) => `${event.type}: ${text}`);
        }
        return event.type === "result" ? [`value: ${event.result.text}`] : [];
      });

    it("gives output of both streams and values in the order in which they happened", async () => {
      const numbers = Array.from({ length: 100 }, (_, n) => n);
      const code = numbers
        .map((n) => [say.print(`out ${n}`), say.warn(`err ${n}`), `${n}`].join("\n"))
        .join("\n");
      const events = await run(code);
      expect(lines(events)).toEqual(
        numbers.flatMap((n) => [`stdout: out ${n}`, `stderr: err ${n}`, `value: ${n}`]),
      );
      expect(events.at(-1)).toMatchObject({ status: "success", reason: "completed" });
    });

    it("keeps state between calls, also after an exception and an interrupt", async () => {
      await run(say.assign);
      const failed = await run(say.raise);
      expect(failed.at(-2)).toMatchObject({ type: "error", error: { name: say.errorName } });
      expect(failed.at(-1)).toMatchObject({ reason: "exception", stateLost: false });
      const late = await run(say.loop, { timeoutMs: 500 });
      expect(late.at(-1)).toMatchObject({ reason: "timeout", stateLost: false });
      expect(lines(await run("kept + 1"))).toEqual(["value: 42"]);
    });

    it("interrupts by request", async () => {
      const code = `${say.print("on")}\n${say.loop}`;
      const answers: boolean[] = [];
      let last: RunEvent | undefined;
      for await (const event of kernels.run({ language, code, timeoutMs: 60_000 })) {
        // What is printed may come in pieces.
        const isFirst = event.type === "stdout" && answers.length === 0;
        if (isFirst) answers.push(await kernels.interrupt(language));
        last = event;
      }
      expect(answers).toEqual([true]);
      expect(last).toMatchObject({ reason: "interrupted", stateLost: false });
    });

    it("interrupts by request also in the first moments, before the code has begun", async () => {
      for (let round = 0; round < 5; round++) {
        const running = run(say.loop);
        const stateOf = () => kernels.contexts().find(({ id }) => id === language)?.state;
        await expect.poll(stateOf, { interval: 1 }).toBe("busy");
        expect(await kernels.interrupt(language)).toBe(true);
        expect((await running).at(-1)).toMatchObject({ reason: "interrupted", stateLost: false });
      }
    });

    it("kills what cannot be reached at its deadline as soon as it can be", async () => {
      await run(say.assign);
      const execs = async (): Promise<number> => {
        guest.agent.disconnect();
        await guest.agent.reconnect();
        return guest.agent.hello.execs.filter(({ running }) => running).length;
      };
      const before = await execs();
      const running = run(say.loop, { timeoutMs: 300 });
      await new Promise((resolve) => setTimeout(resolve, 200));
      guest.agent.disconnect();
      expect((await running).at(-1)).toMatchObject({ reason: "timeout", stateLost: true });
      await guest.agent.reconnect();
      expect(await execs()).toBe(before - 1);
      expect((await run(say.print("again"))).at(-1)).toMatchObject({ status: "success" });
    });

    it("ends a flood that nobody reads at its deadline", async () => {
      const flood = kernels.run({ language, code: say.flood, timeoutMs: 1_000 });
      const iterator = flood[Symbol.asyncIterator]();
      await iterator.next();
      await new Promise((resolve) => setTimeout(resolve, 3_500));
      let last: RunEvent | undefined;
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
        last = next.value;
      }
      expect(last).toMatchObject({ type: "end", reason: "timeout" });
      expect(lines(await run(say.print("next")))).toContain("stdout: next");
    });

    it("says that its interpreter ended, and starts another", async () => {
      const events = await run(say.exit);
      expect(events.at(-2)).toMatchObject({ type: "error" });
      expect(events.at(-1)).toMatchObject({ status: "error", stateLost: true });
      expect(["exited", "died"]).toContain((events.at(-1) as { reason: string }).reason);
      const next = await run(say.print("again"));
      expect(lines(next)).toEqual(["stdout: again"]);
      expect(next.at(-1)).toMatchObject({ stateLost: false });
    });

    it("kills what does not heed the interrupt, and starts another", async () => {
      // Long enough for the code to be where it does not heed it.
      const end = (await run(say.stubborn, { timeoutMs: 4_000 })).at(-1);
      expect(end).toMatchObject({ type: "end", reason: "timeout", stateLost: true });
      expect((end as { durationMs: number }).durationMs).toBeLessThan(6_200);
      expect(lines(await run(say.print("again")))).toEqual(["stdout: again"]);
    });

    it("says that there is no interpreter", async () => {
      const none = await openKernels(guest.agent, { ...opts, env: ["PATH=/nowhere"] });
      await expect(none.prewarm(language)).rejects.toMatchObject({
        code: "MSB_ERR_KERNEL_UNAVAILABLE",
        details: { language },
      });
    });

    it("is taken over by another host with its state", async () => {
      await run(say.assign.replace("kept", "handed"));
      const snapshot: KernelsSnapshot = kernels.snapshot();
      kernels.close();
      guest.agent.disconnect();
      await using other = await AgentClient.connect(guest.vm.agentSocket, { nonce: guest.nonce });
      const adopted = await openKernels(other, { ...opts, adopt: snapshot });
      const events = await run("handed", { of: adopted });
      expect(lines(events)).toEqual(["value: 41"]);
      expect(events.at(-1)).toMatchObject({ stateLost: false });
    });
  });
});
