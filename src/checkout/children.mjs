/**
 * Programs that somebody at a terminal waits for. Each is a group of its own, so that a signal to this process reaches
 * all of them, and once; then nothing more is started, and what does not end in time, or before a second signal, is
 * killed.
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";

const GRACE_MS = 10_000;
/** A terminal sends a signal to npm, too, which passes it on: what comes so soon is the same one. */
const ECHO_MS = 500;
/** What is kept of the output of a program that is not shown. */
const TAIL_CHARS = 16_384;

export class Children {
  /** The signal that asked for the end of everything; undefined as long as nobody did. */
  stoppedBy;
  #stoppedAt = 0;
  #running = new Set();
  #abort = new AbortController();

  constructor(cwd) {
    this.cwd = cwd;
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => this.stop(name));
  }

  /** As if this process had got the signal. */
  stop(name) {
    if (this.stoppedBy === undefined) {
      this.stoppedBy = name;
      this.#stoppedAt = performance.now();
    }
    const isSecond = performance.now() - this.#stoppedAt >= ECHO_MS;
    for (const { stop, force } of this.#running) {
      stop(name);
      if (isSecond) force(name);
    }
    this.#abort.abort(new Stopped(name));
  }

  /** Aborted with the first signal. */
  get signal() {
    return this.#abort.signal;
  }

  /** The code for the end of this process when a signal asked for it. */
  get exitCode() {
    return 128 + constants.signals[this.stoppedBy];
  }

  /**
   * Starts a program; `ended` is its exit code or signal, `stop` asks it to end. `signals` says whom signals are passed
   * to: its whole `group`, its `leader`, or `nobody` when the terminal does it. `graceMs`: Infinity for what must not be
   * killed, which is asked a second time then.
   */
  start(command, args, opts = {}) {
    this.signal.throwIfAborted();
    const { env = {}, stdio = "inherit", signals = "group", graceMs = GRACE_MS } = opts;
    const child = spawn(command, args, {
      cwd: this.cwd,
      stdio,
      detached: signals !== "nobody",
      env: { ...process.env, ...env },
    });
    const send = (signal) => signalChild(child, signals, signal);
    let isAsked = false;
    let grace;
    // Once: a second signal is no request to most programs.
    const stop = (name) => {
      if (isAsked) return;
      isAsked = true;
      send(name);
      if (graceMs !== Infinity) grace = setTimeout(() => send("SIGKILL"), graceMs).unref();
    };
    const force = (name) => send(graceMs === Infinity ? name : "SIGKILL");
    const running = { stop, force };
    this.#running.add(running);
    const ended = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => resolve(code ?? signal));
    }).finally(() => {
      clearTimeout(grace);
      this.#running.delete(running);
    });
    // Who waits for it hears of a failure; nobody has to.
    ended.catch(() => {});
    return { child, ended, stop };
  }

  /** Runs a program to its end; its exit code or signal. */
  async run(command, args, opts) {
    const code = await this.start(command, args, opts).ended;
    this.signal.throwIfAborted();
    return code;
  }

  /** The same without a word of it on the terminal: code and the end of its output. */
  async runQuietly(command, args, opts = {}) {
    const stdio = ["ignore", "pipe", "pipe"];
    const { child, ended } = this.start(command, args, { ...opts, stdio });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output = (output + text).slice(-TAIL_CHARS);
      });
    }
    const code = await ended;
    this.signal.throwIfAborted();
    return { code, output };
  }

  /** Runs a program that must succeed; what it said is shown when it does not. */
  async must(command, args, opts) {
    const { code, output } = await this.runQuietly(command, args, opts);
    if (code === 0) return;
    throw new Error(`this failed (${code}): ${command} ${args.join(" ")}\n${output.trimEnd()}`);
  }
}

/** A signal asked for the end. */
export class Stopped extends Error {
  constructor(name) {
    super(`ended by ${name}`);
  }
}

function signalChild(child, signals, signal) {
  if (child.pid === undefined || signals === "nobody") return;
  try {
    process.kill(signals === "group" ? -child.pid : child.pid, signal);
  } catch {
    // It has ended.
  }
}
