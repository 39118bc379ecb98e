/** Kernels in memory: what code does is up to the test. */
import type { Kernels, KernelsSnapshot, OpenKernelsOpts } from "../../src/kernel/kernels.js";
import type {
  CodeContext,
  Language,
  RunCodeRequest,
  RunEvent,
} from "../../src/kernel/run-types.js";
import { deferred } from "../../src/util/async.js";

export class FakeKernels implements Kernels {
  readonly prewarmed: Language[] = [];
  readonly #closed = deferred<never>();
  #snapshot: KernelsSnapshot;
  closeError: Error | undefined;
  isClosed = false;
  onPrewarm: () => Promise<void> = async () => {};

  constructor(readonly opts: OpenKernelsOpts) {
    this.#snapshot = opts.adopt ?? { contexts: [] };
    this.#closed.promise.catch(() => {});
  }

  /** `wait` runs until it is closed; all else ends at once. */
  async *run(request: RunCodeRequest): AsyncGenerator<RunEvent, void, undefined> {
    yield { type: "stdout", text: request.code };
    if (request.code === "wait") await this.#closed.promise;
    yield { type: "end", status: "success", reason: "completed", durationMs: 1, stateLost: false };
  }

  async interrupt(): Promise<boolean> {
    return false;
  }

  contexts(): readonly CodeContext[] {
    return [];
  }

  async create(opts: { language: Language }): Promise<CodeContext> {
    const record = {
      id: `context-${this.#snapshot.contexts.length}`,
      language: opts.language,
      isDefault: false,
      workdir: "/",
      env: [],
      createdAt: "2026-01-01T00:00:00.000Z",
    };
    const contexts = [...this.#snapshot.contexts, { ...record, stream: 5 }];
    this.#snapshot = { contexts };
    this.opts.onChange?.();
    return { ...record, state: "idle" };
  }

  async restart(): Promise<CodeContext> {
    return this.create({ language: "python" });
  }

  async delete(): Promise<void> {}

  async prewarm(language: Language): Promise<void> {
    this.prewarmed.push(language);
    await this.onPrewarm();
  }

  snapshot(): KernelsSnapshot {
    return this.#snapshot;
  }

  close(error: Error = new Error("closed")): void {
    this.isClosed = true;
    this.closeError ??= error;
    this.#closed.reject(error);
  }
}
