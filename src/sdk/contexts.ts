/** Interpreters of a sandbox, each with a state of its own. */
import type { ContextView } from "../api/code.js";
import type { Execution } from "./execution.js";
import { callOpts, envEntries, given, type WaitOpts } from "./options.js";
import {
  runEvents,
  type RunEvent,
  type RunOpts,
  type RunStreamOpts,
  runToEnd,
} from "./run-code.js";
import type { Language, Session } from "./session.js";

export interface CreateContextOpts extends WaitOpts {
  /** Default: the language of the sandbox; `python` for `Sandbox`. */
  readonly language?: Language | undefined;
  /** Where its code starts. Default: the sandbox's. */
  readonly workdir?: string | undefined;
  /** Variables on top of the sandbox's own. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** What a context was when the server was asked. */
export type ContextInfo = ContextView;

/** Use `sandbox.contexts`. */
export class Contexts {
  readonly #session: Session;
  readonly #language: Language;

  constructor(session: Session, language: Language) {
    this.#session = session;
    this.#language = language;
  }

  /** Its interpreter starts with its first code. Throws MSB_ERR_CONTEXT_LIMIT. */
  async create(opts: CreateContextOpts = {}): Promise<CodeContext> {
    this.#session.requireStarted();
    const { client, key } = this.#session;
    const { language = this.#language, workdir, env, ...wait } = opts;
    const body = given({ language, workdir, env: env && envEntries(env) });
    return new CodeContext(this.#session, await client.createContext(key, body, callOpts(wait)));
  }

  /** All there are, with the ones that every sandbox has. */
  async list(opts: WaitOpts = {}): Promise<CodeContext[]> {
    this.#session.requireStarted();
    const { client, key } = this.#session;
    const views = await client.contexts(key, callOpts(opts));
    return views.map((view) => new CodeContext(this.#session, view));
  }
}

/** One interpreter. Its runs wait for each other; those of other contexts go on beside them. */
export class CodeContext {
  readonly id: string;
  readonly language: Language;
  /** The one that `sandbox.run` uses for its language; it cannot be deleted. */
  readonly isDefault: boolean;
  readonly #session: Session;
  #info: ContextInfo;

  /** Use `sandbox.contexts`. */
  constructor(session: Session, info: ContextInfo) {
    this.#session = session;
    this.#info = info;
    this.id = info.id;
    this.language = info.language;
    this.isDefault = info.isDefault;
  }

  /** As it was when it was created, listed or restarted. */
  get info(): ContextInfo {
    return this.#info;
  }

  /** As `sandbox.run`, here. */
  async run(code: string, opts: Omit<RunOpts, "context"> = {}): Promise<Execution> {
    this.#session.requireStarted();
    return runToEnd(this.#session, { language: this.language, code }, { ...opts, context: this });
  }

  /** As `sandbox.runStream`, here. */
  async *runStream(
    code: string,
    opts: Omit<RunStreamOpts, "context"> = {},
  ): AsyncGenerator<RunEvent, void> {
    this.#session.requireStarted();
    yield* runEvents(this.#session, { language: this.language, code }, { ...opts, context: this });
  }

  /** Ends its interpreter; the next code gets a new one. */
  async restart(opts: WaitOpts = {}): Promise<void> {
    this.#session.requireStarted();
    const { client, key } = this.#session;
    this.#info = await client.restartContext(key, this.id, callOpts(opts));
  }

  /** Ends what runs, as Ctrl-C would; false when nothing runs. */
  async interrupt(opts: WaitOpts = {}): Promise<boolean> {
    this.#session.requireStarted();
    return this.#session.client.interruptContext(this.#session.key, this.id, callOpts(opts));
  }

  /** With its interpreter. Throws MSB_ERR_INVALID_STATE for a default one. */
  async delete(opts: WaitOpts = {}): Promise<void> {
    this.#session.requireStarted();
    await this.#session.client.deleteContext(this.#session.key, this.id, callOpts(opts));
  }
}
