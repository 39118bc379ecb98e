/** Starts and ends of one sandbox object. A start that fails leaves nothing; one end serves all who ask for it. */
import type { SandboxParams, SandboxSpecBody } from "../api/sandboxes.js";
import { type ErrorCode, isMsbError } from "../errors.js";
import { CallSignal } from "./call-signal.js";
import type { MsbClient, ProgressOpts } from "./client.js";
import { sdkError } from "./errors.js";
import { callOpts, invalid, milliseconds, timeoutMs, type WaitOpts } from "./options.js";
import type { Session } from "./session.js";
import { DEFAULT_START_SECONDS, type StartOpts, startSpec } from "./start-options.js";

export interface StopOpts extends WaitOpts {
  /** Seconds that the guest may take to end its processes before it is ended. Default: the server's. */
  readonly grace?: number | undefined;
}

export interface LifecycleOpts {
  readonly client: MsbClient;
  readonly key: SandboxParams;
  /** `madeUp`: it and its disk go with its end. `given`: the disk stays. `connected`: it is never made anew. */
  readonly origin: "madeUp" | "given" | "connected";
  readonly defaultImage: string | null;
}

/** For the end of what a failed start left. */
const CLEAN_UP_MS = 30_000;
/** The server may go on with what it was asked for; in all other cases it has settled it. */
const UNSETTLED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "MSB_ERR_ABORTED",
  "MSB_ERR_REQUEST_TIMEOUT",
  "MSB_ERR_SERVER_UNREACHABLE",
]);
const ACTIVE_STATES: ReadonlySet<string> = new Set(["creating", "booting", "running", "stopping"]);

export class Lifecycle implements Session {
  readonly client: MsbClient;
  readonly key: SandboxParams;
  readonly #origin: LifecycleOpts["origin"];
  readonly #defaultImage: string | null;
  #isStarted: boolean;
  #isKnown: boolean;
  #starting: Promise<void> | undefined;
  #startCall: CallSignal | undefined;
  #ending: Promise<void> | undefined;

  constructor({ client, key, origin, defaultImage }: LifecycleOpts) {
    this.client = client;
    this.key = key;
    this.#origin = origin;
    this.#defaultImage = defaultImage;
    this.#isStarted = origin === "connected";
    this.#isKnown = origin !== "madeUp";
  }

  get isStarted(): boolean {
    return this.#isStarted;
  }

  requireStarted(): void {
    if (this.#isStarted) return;
    const { namespace, name } = this.key;
    throw sdkError(
      "MSB_ERR_INVALID_STATE",
      `Sandbox ${namespace}/${name} is not started. Call start() first.`,
      { details: { namespace, name } },
    );
  }

  /** Calls while one is under way share it. */
  async start(opts: StartOpts): Promise<void> {
    if (this.#starting !== undefined) return this.#starting;
    const ended = this.#ending?.catch(() => {});
    this.#starting = this.#start(opts, ended).finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  async stop(opts: StopOpts): Promise<void> {
    if (!this.#isStarted && this.#starting === undefined) return this.#ending;
    await this.#end("stop()", async () => {
      if (!this.#isStarted) return;
      const { grace, ...wait } = opts;
      const graceMs = grace === undefined ? undefined : milliseconds("grace", grace);
      const { client, key } = this;
      await ifThere(client.stopSandbox(key, { ...callOpts(wait), graceMs }));
      if (this.#origin === "madeUp") await this.#remove(wait);
    });
  }

  async remove(opts: WaitOpts): Promise<void> {
    await this.#end("remove()", () => this.#remove(opts));
  }

  /** At the end of a scope: whoever started it ends it. */
  async dispose(): Promise<void> {
    if (this.#origin !== "connected") await this.stop({});
  }

  async #remove(opts: WaitOpts): Promise<void> {
    await ifThere(this.client.removeSandbox(this.key, { ...callOpts(opts), force: true }));
  }

  async #start(opts: StartOpts, ended: Promise<void> | undefined): Promise<void> {
    const spec = startSpec(opts, this.#defaultImage);
    if (spec === null && this.#origin === "madeUp") {
      throw invalid("image", "is missing: there is nothing yet that could be started without.");
    }
    const { timeout = DEFAULT_START_SECONDS, signal, onProgress } = opts;
    const what = `The start of sandbox ${this.key.namespace}/${this.key.name}`;
    const limits = { signal, timeoutMs: timeoutMs("timeout", timeout) };
    const call = new CallSignal(what, limits, "Give it more with timeout, in seconds.");
    this.#startCall = call;
    try {
      await ended;
      if (call.error !== undefined) throw call.error;
      await this.#make(spec, { signal: call.signal, onProgress });
      this.#isStarted = true;
      this.#isKnown = true;
    } finally {
      this.#startCall = undefined;
      call.close();
    }
  }

  async #make(spec: SandboxSpecBody | null, opts: ProgressOpts): Promise<void> {
    const { client, key } = this;
    const before = this.#isKnown ? await stateOf(client, key, opts) : null;
    if (before === null && this.#origin === "connected") throw gone(key);
    if (before === null && spec !== null && (await this.#create(spec, opts))) return;
    await this.#tidily(
      () => client.startSandbox(key, spec, opts),
      async () => {
        // One that others started is theirs to stop.
        if (before === null || ACTIVE_STATES.has(before)) return;
        await client.stopSandbox(key, { timeoutMs: CLEAN_UP_MS });
      },
    );
  }

  /** False when somebody else was faster: what a name that was given means is one sandbox. */
  async #create(spec: SandboxSpecBody, opts: ProgressOpts): Promise<boolean> {
    const { client, key } = this;
    try {
      await this.#tidily(
        () => client.createSandbox({ ...key, ...spec }, opts),
        () => client.removeSandbox(key, { force: true, timeoutMs: CLEAN_UP_MS }),
      );
      return true;
    } catch (error) {
      if (this.#origin === "given" && isMsbError(error, "MSB_ERR_SANDBOX_EXISTS")) return false;
      throw error;
    }
  }

  async #tidily(start: () => Promise<unknown>, cleanUp: () => Promise<unknown>): Promise<void> {
    try {
      await start();
    } catch (error) {
      // What cannot be cleaned up now is the server's, which ends what nobody waits for.
      if (!isMsbError(error) || UNSETTLED.has(error.code)) await cleanUp().catch(() => {});
      throw error;
    }
  }

  #end(who: string, work: () => Promise<void>): Promise<void> {
    const before = this.#ending?.catch(() => {});
    const message = `The start of the sandbox was called off by ${who}.`;
    this.#startCall?.abort(sdkError("MSB_ERR_ABORTED", message));
    const starting = this.#starting?.catch(() => {});
    const ending: Promise<void> = (async () => {
      await Promise.all([before, starting]);
      await work();
      this.#isStarted = false;
    })().finally(() => {
      if (this.#ending === ending) this.#ending = undefined;
    });
    this.#ending = ending;
    return ending;
  }
}

function gone({ namespace, name }: SandboxParams): Error {
  const message = `Sandbox ${namespace}/${name} is not there any more.`;
  return sdkError("MSB_ERR_SANDBOX_NOT_FOUND", message, { details: { namespace, name } });
}

async function stateOf(
  client: MsbClient,
  key: SandboxParams,
  { signal }: ProgressOpts,
): Promise<string | null> {
  const info = await ifThere(client.getSandbox(key, { signal }));
  return info?.state ?? null;
}

/** Undefined when there is no such sandbox. */
async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isMsbError(error, "MSB_ERR_SANDBOX_NOT_FOUND")) return undefined;
    throw error;
  }
}
