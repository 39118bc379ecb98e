/**
 * A server whose parts are killed at random moments, and what must be true after each: answers that were right or said
 * what happened, a server that comes up again, nothing left behind, and sandboxes that nobody hurt as they were.
 */
import { readdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { DriverName } from "../../src/hypervisor/driver.js";
import { messageOf } from "../../src/errors.js";
import { msbPaths } from "../../src/paths.js";
import { childrenOf, isRunning } from "./processes.js";
import type { Random } from "./random.js";
import { ServerHome, supervisorsOf } from "./server-home.js";
import { PYTHON_IMAGE } from "./server-images.js";
import { TestServer } from "./server-process.js";
import { type FlatError, SMALL, textOf, WireSandbox } from "./wire.js";

/**
 * `guest`: its kernel is made to crash from inside, and the agent with it; nothing in the guest can kill the agent
 * alone, for the kernel lets no signal through to PID 1. `pause`: the VM's process is stopped and goes on later.
 */
export const TARGETS = ["server", "supervisor", "vm", "guest", "pause"] as const;
export type FaultTarget = (typeof TARGETS)[number];
export const PHASES = ["start", "run", "stop"] as const;
export type FaultPhase = (typeof PHASES)[number];

export interface Fault {
  readonly target: FaultTarget;
  readonly phase: FaultPhase;
  /** A sandbox that was never there, or one with a disk. */
  readonly subject: "new" | "known";
  /** When in the phase, from 0 to 1. */
  readonly moment: number;
  /** Kill the next server, too, while it comes up: when, from 0 to 1; null to let it live. */
  readonly again: number | null;
}

/** Every target in every phase comes before one comes a second time. */
export function planFaults(random: Random, rounds: number): Fault[] {
  // There is no guest to run a program in before there is one.
  const all = TARGETS.flatMap((target) => PHASES.map((phase) => ({ target, phase }))).filter(
    ({ target, phase }) => target !== "guest" || phase !== "start",
  );
  const plan: Fault[] = [];
  while (plan.length < rounds) {
    for (const pair of random.shuffled(all)) {
      plan.push({
        ...pair,
        subject: random.chance(0.4) ? "new" : "known",
        moment: random.next(),
        again: random.chance(0.3) ? random.next() : null,
      });
    }
  }
  return plan.slice(0, rounds);
}

/** How a request ended: with an answer, or because the server was gone. */
type Outcome =
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly body: { result?: unknown } & Partial<FlatError>;
    }
  | { readonly kind: "lost"; readonly message: string };

const KEEPER = "keeper";
const KNOWN = "known";
const MARK = "written before the fault";
/** Moments of a start are spread over this much of what the first one took. */
const START_SPREAD = 1.2;
const RUN_MS = 1_500;
const STOP_MS = 1_000;
const PAUSE_MS = 2_000;
/** What goes wrong is known soon. */
const ANSWER_MS = 120_000;
const SETTLE_MS = 30_000;

export class FaultRun implements AsyncDisposable {
  /** The normalized tree of MSB_HOME when only the keeper runs and all others are stopped. */
  #tree: string[] = [];
  #startMs = 0;
  #count = 0;
  #token = "";

  private constructor(
    readonly driver: DriverName,
    readonly home: ServerHome,
    private server: TestServer,
  ) {}

  static async begin(driver: DriverName): Promise<FaultRun> {
    const home = await ServerHome.make();
    try {
      const run = new FaultRun(driver, home, await TestServer.start({ driver, home }));
      await run.#prepare();
      return run;
    } catch (error) {
      await home[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** One fault and all that must hold after it; throws what does not. */
  async round(fault: Fault): Promise<void> {
    const name = fault.subject === "known" ? KNOWN : `new${++this.#count}`;
    try {
      await this.#injured(this.#sandbox(name), fault);
      await this.#recover(fault);
      await this.#checkKeeper();
      await this.#checkSubject(name, fault);
      await this.#checkLeftovers();
    } catch (error) {
      throw new Error(
        `${messageOf(error)}\nfault: ${JSON.stringify(fault)}\nserver:\n${this.server.logTail()}`,
        { cause: error },
      );
    }
  }

  /** Ends all in order; throws when something stays. */
  async finish(): Promise<void> {
    await this.server.stop();
    const left = await this.home.settled([], SETTLE_MS);
    if (left.length > 0) throw new Error(`processes are left: ${JSON.stringify(left)}`);
    const vms = await readdir(msbPaths(this.home.path).vmRoot).catch(() => []);
    if (vms.length > 0) throw new Error(`folders of VMs are left: ${vms.join(", ")}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.home[Symbol.asyncDispose]();
  }

  #sandbox(name: string): WireSandbox {
    return new WireSandbox(this.server, name);
  }

  async #prepare(): Promise<void> {
    const keeper = this.#sandbox(KEEPER);
    await keeper.start({ ...SMALL, image: PYTHON_IMAGE });
    this.#token = `token-${Date.now()}`;
    await keeper.run(`token = "${this.#token}"`);
    // A program of the user's code; a command would end with the request that it answers.
    const loop =
      "n=0; while :; do n=$((n+1)); echo $n > /tmp/.n; mv /tmp/.n /tmp/beat; sleep 0.1; done";
    await keeper.run(
      `import subprocess\nloop = subprocess.Popen(["sh", "-c", ${JSON.stringify(loop)}])`,
    );
    const known = this.#sandbox(KNOWN);
    const startedAt = performance.now();
    await known.start(SMALL);
    this.#startMs = performance.now() - startedAt;
    await known.sh(`echo ${MARK} > /mark; sync`);
    await known.stop();
    await this.#settle();
    this.#tree = await this.#normalTree();
  }

  /** Brings the subject to the phase, does the harm, and judges the answer. */
  async #injured(subject: WireSandbox, fault: Fault): Promise<void> {
    const others = await supervisorsOf(this.home);
    const isMade = fault.subject === "known";
    const params = { ...subject.key, ...(isMade ? {} : { config: SMALL }) };
    if (fault.phase === "start") {
      const start = this.#ask(subject.name, "sandbox.start", params);
      await this.#harm(subject, fault, others, this.#startMs * START_SPREAD);
      return judge(
        await start,
        fault,
        (result) => result === `Sandbox ${subject.name} started successfully`,
      );
    }
    await this.server.result("sandbox.start", params);
    if (fault.phase === "run") {
      const script = "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.1; done";
      const run = this.#ask(subject.name, "sandbox.command.run", {
        command: "sh",
        args: ["-c", script],
      });
      await this.#harm(subject, fault, others, RUN_MS);
      return judge(await run, fault, (result) => {
        const { output, exit_code } = result as {
          output: { stream: "stdout"; text: string }[];
          exit_code: number;
        };
        return exit_code === 0 && textOf(output) === "1\n2\n3\n4\n5\n6\n7\n8\n9\n10";
      });
    }
    const stop = this.#ask(subject.name, "sandbox.stop", {});
    await this.#harm(subject, fault, others, STOP_MS);
    const outcome = await stop;
    judge(outcome, fault, (result) => result === `Sandbox ${subject.name} stopped successfully`);
    // However a VM ended that was to be stopped: it is stopped.
    if (fault.target !== "server" && outcome.kind === "answer" && outcome.status !== 200) {
      throw new Error(`the stop failed: ${JSON.stringify(outcome)}`);
    }
  }

  async #harm(
    subject: WireSandbox,
    { target, phase, moment }: Fault,
    others: ReadonlyMap<string, number>,
    spreadMs: number,
  ): Promise<void> {
    if (target === "server") {
      await delay(moment * spreadMs);
      return this.server.kill();
    }
    const supervisor = await this.#supervisorOf(others, phase === "start" ? spreadMs : 0);
    await delay(moment * spreadMs);
    if (supervisor === undefined) return;
    if (target === "guest") {
      // The answer of the program that does it is lost with it.
      const script = "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger; reboot -f";
      await this.#ask(subject.name, "sandbox.command.run", { command: "sh", args: ["-c", script] });
      await expectEnd(supervisor);
      return;
    }
    const [vm] = await childrenOf(supervisor);
    if (target === "supervisor") kill(supervisor, "SIGKILL");
    else if (vm !== undefined && target === "vm") kill(vm, "SIGKILL");
    else if (vm !== undefined) {
      kill(vm, "SIGSTOP");
      await delay(PAUSE_MS);
      kill(vm, "SIGCONT");
    }
  }

  /** The supervisor of the VM that was not there before; undefined if none comes. */
  async #supervisorOf(
    others: ReadonlyMap<string, number>,
    waitMs: number,
  ): Promise<number | undefined> {
    for (const end = Date.now() + waitMs; ; await delay(20)) {
      for (const [id, pid] of await supervisorsOf(this.home)) if (!others.has(id)) return pid;
      if (Date.now() >= end) return undefined;
    }
  }

  /** A server that was killed is followed by another, which may be killed on its way. */
  async #recover(fault: Fault): Promise<void> {
    if (!this.server.hasEnded) return;
    if (fault.again !== null) {
      const next = TestServer.start({ driver: this.driver, home: this.home });
      next.catch(() => {});
      await delay(fault.again * this.#startMs);
      for (const { pid, name, why } of this.home.processes()) {
        if (why === "environment" && name.startsWith("node")) kill(pid, "SIGKILL");
      }
      await next.catch(() => {});
    }
    this.server = await TestServer.start({ driver: this.driver, home: this.home });
  }

  async #checkKeeper(): Promise<void> {
    const keeper = this.#sandbox(KEEPER);
    if (!(await keeper.metrics()).running)
      throw new Error("the sandbox nobody touched does not run");
    const { output } = await keeper.run("print(token)");
    if (textOf(output) !== this.#token) {
      throw new Error(`the state of its code is lost: ${JSON.stringify(output)}`);
    }
    const beat = async (): Promise<number> => Number(textOf(await keeper.sh("cat /tmp/beat")));
    const first = await beat();
    await delay(500);
    if (!((await beat()) > first)) throw new Error("the program it runs does not go on");
  }

  async #checkSubject(name: string, fault: Fault): Promise<void> {
    const subject = this.#sandbox(name);
    await subject.start(fault.subject === "known" ? undefined : SMALL);
    if (textOf(await subject.sh("echo works")) !== "works")
      throw new Error("the sandbox does not work");
    if (fault.subject === "known" && textOf(await subject.sh("cat /mark")) !== MARK) {
      throw new Error("the sandbox has lost a file");
    }
    await subject.stop();
  }

  async #checkLeftovers(): Promise<void> {
    await this.#settle();
    const tree = await this.#normalTree();
    const difference = {
      more: tree.filter((path) => !this.#tree.includes(path)),
      less: this.#tree.filter((path) => !tree.includes(path)),
    };
    if (difference.more.length + difference.less.length > 0) {
      throw new Error(`MSB_HOME is not as before: ${JSON.stringify(difference)}`);
    }
    const mounts = this.home.mounts();
    if (mounts.length > 0) throw new Error(`mounts are left: ${mounts.join("\n")}`);
  }

  /** Until there are no processes but the server and the keeper's VM. */
  async #settle(): Promise<void> {
    const vms = await supervisorsOf(this.home);
    if (vms.size !== 1) throw new Error(`one VM should run: ${JSON.stringify([...vms])}`);
    const supervisor = [...vms.values()][0]!;
    const expected = [this.server.pid, supervisor, ...(await childrenOf(supervisor))];
    const left = await this.home.settled(expected, SETTLE_MS);
    if (left.length > 0) throw new Error(`processes are left: ${JSON.stringify(left)}`);
  }

  /** Names that tell rounds apart are made alike. Logs may rotate. */
  async #normalTree(): Promise<string[]> {
    const paths = (await this.home.tree()).map((path) =>
      path
        .replace(/^vms\/[^/]+/, "vms/VM")
        .replace(/\/new\d+/, `/${KNOWN}`)
        .replace(/\.log\.\d+$/, ".log"),
    );
    return [...new Set(paths)].toSorted();
  }

  async #ask(sandbox: string, method: string, params: object): Promise<Outcome> {
    const whole = { namespace: "default", sandbox, ...params };
    const signal = AbortSignal.timeout(ANSWER_MS);
    try {
      const { status, body } = await this.server.rpc<FlatError>(method, whole, { signal });
      return { kind: "answer", status, body };
    } catch (error) {
      if (signal.aborted)
        throw new Error(`no answer to ${method} within ${ANSWER_MS} ms`, { cause: error });
      return { kind: "lost", message: messageOf(error) };
    }
  }
}

/** Right, or an error with words; lost only with the server. */
function judge(outcome: Outcome, fault: Fault, isRight: (result: unknown) => boolean): void {
  if (outcome.kind === "lost") {
    if (fault.target === "server") return;
    throw new Error(`the server hung up: ${outcome.message}`);
  }
  const { status, body } = outcome;
  if (status === 200) {
    if (!isRight(body.result)) throw new Error(`a wrong answer: ${JSON.stringify(body)}`);
    return;
  }
  // Nobody died: who was only made to wait gets what was asked for.
  if (fault.target === "pause") throw new Error(`a pause was an error: ${JSON.stringify(body)}`);
  if (status < 500 || typeof body.error !== "string" || body.error.length < 10) {
    throw new Error(`an error that says nothing: ${status} ${JSON.stringify(body)}`);
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It was faster.
  }
}

/** A fault that does not happen would prove nothing. */
async function expectEnd(pid: number): Promise<void> {
  for (const end = Date.now() + SETTLE_MS; await isRunning(pid); await delay(50)) {
    if (Date.now() >= end) throw new Error("the guest was to crash and goes on");
  }
}
