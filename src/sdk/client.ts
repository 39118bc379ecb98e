/** One method for each address of the server's own API. The sandbox classes and the CLI stand on it. */
import type {
  ContextList,
  ContextView,
  CreateContextBody,
  RunBody,
  RunRecord,
} from "../api/code.js";
import type { CommandBody, CommandRecord } from "../api/commands.js";
import type {
  ImageList,
  ImageView,
  InspectedImageView,
  ProgressView,
  PullRecord,
  RemovedImagesView,
} from "../api/images.js";
import type { InfoView } from "../api/info.js";
import type { LogEntryView, LogsQuery } from "../api/logs.js";
import type {
  CreateSandboxBody,
  ListSandboxesQuery,
  MetricsView,
  SandboxPage,
  SandboxParams,
  SandboxSpecBody,
  SandboxView,
  StartRecord,
} from "../api/sandboxes.js";
import type { StreamFailure } from "../api/schema.js";
import type { WarmBody, WarmedView, WarmRecord } from "../api/warm.js";
import { isObject } from "./answer-errors.js";
import { type ClientOpts, clientSettings } from "./client-settings.js";
import { type ApiRequest, type CallOpts, Transport } from "./transport.js";

/** Events of a run without the failure that is thrown. */
export type RunRecordView = Exclude<RunRecord, StreamFailure>;
export type CommandRecordView = Exclude<CommandRecord, StreamFailure>;

/** Of work that tells how far it is. */
type WorkRecord = PullRecord | StartRecord | WarmRecord;

export interface ProgressOpts extends CallOpts {
  /** Told of the image's download and of its disk, and of what else is done. */
  readonly onProgress?: ((progress: ProgressView) => void) | undefined;
}

/** All methods throw MsbError: with the server's code, or MSB_ERR_SERVER_UNREACHABLE and its kin. */
export class MsbClient {
  readonly serverUrl: string;
  readonly #transport: Transport;

  /** Throws MSB_ERR_INVALID_ARGUMENT for a `serverUrl` that is none. */
  constructor(opts: ClientOpts = {}) {
    const settings = clientSettings(opts);
    this.serverUrl = settings.serverUrl;
    this.#transport = new Transport(settings);
  }

  /** Resolves when a server answers; needs no key. */
  async health(opts: CallOpts = {}): Promise<void> {
    await this.#transport.json({ method: "GET", path: "/health" }, opts);
  }

  info(opts: CallOpts = {}): Promise<InfoView> {
    return this.#transport.json({ method: "GET", path: "/info", isAnswer: has("limits") }, opts);
  }

  /** Creates and starts; throws MSB_ERR_SANDBOX_EXISTS for a name that is taken. */
  createSandbox(body: CreateSandboxBody, opts: ProgressOpts = {}): Promise<SandboxView> {
    return this.#start("/sandboxes", body, opts);
  }

  /** `spec` replaces the stored one; null starts what is stored. One that runs is left as it is. */
  startSandbox(
    key: SandboxParams,
    spec: SandboxSpecBody | null = null,
    opts: ProgressOpts = {},
  ): Promise<SandboxView> {
    return this.#start(`${sandboxPath(key)}/start`, spec, opts);
  }

  stopSandbox(
    key: SandboxParams,
    { graceMs, ...opts }: CallOpts & { readonly graceMs?: number | undefined } = {},
  ): Promise<SandboxView> {
    const body = graceMs === undefined ? null : { graceMs };
    const path = `${sandboxPath(key)}/stop`;
    return this.#transport.json({ method: "POST", path, body, isAnswer: isSandbox }, opts);
  }

  async removeSandbox(
    key: SandboxParams,
    { force, ...opts }: CallOpts & { readonly force?: boolean | undefined } = {},
  ): Promise<void> {
    const request = { method: "DELETE", path: sandboxPath(key), query: { force } } as const;
    await this.#transport.json(request, opts);
  }

  getSandbox(key: SandboxParams, opts: CallOpts = {}): Promise<SandboxView> {
    const path = sandboxPath(key);
    return this.#transport.json({ method: "GET", path, isAnswer: isSandbox }, opts);
  }

  /** Sorted by namespace and name, page by page as they are read. */
  async *listSandboxes(
    filter: Omit<ListSandboxesQuery, "cursor"> = {},
    opts: CallOpts = {},
  ): AsyncGenerator<SandboxView> {
    let cursor: string | undefined;
    do {
      const query = { ...filter, cursor };
      const page: SandboxPage = await this.#transport.json(
        { method: "GET", path: "/sandboxes", query, isAnswer: has("sandboxes") },
        opts,
      );
      yield* page.sandboxes;
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
  }

  metrics(key: SandboxParams, opts: CallOpts = {}): Promise<MetricsView> {
    const path = `${sandboxPath(key)}/metrics`;
    return this.#transport.json({ method: "GET", path, isAnswer: has("running") }, opts);
  }

  /** The last record is `end`. A reader that stops early interrupts the code, unless the body says otherwise. */
  runCode(key: SandboxParams, body: RunBody, opts: CallOpts = {}): AsyncGenerator<RunRecordView> {
    const request = { method: "POST", path: `${sandboxPath(key)}/run`, body } as const;
    return this.#transport.records<RunRecord>(request, opts);
  }

  /** The last record is `end`. A reader that stops early kills the command, unless the body says otherwise. */
  runCommand(
    key: SandboxParams,
    body: CommandBody,
    opts: CallOpts = {},
  ): AsyncGenerator<CommandRecordView> {
    const request = { method: "POST", path: `${sandboxPath(key)}/commands`, body } as const;
    return this.#transport.records<CommandRecord>(request, opts);
  }

  async contexts(key: SandboxParams, opts: CallOpts = {}): Promise<ContextView[]> {
    const list = await this.#transport.json<ContextList>(
      { method: "GET", path: `${sandboxPath(key)}/contexts`, isAnswer: has("contexts") },
      opts,
    );
    return list.contexts;
  }

  createContext(
    key: SandboxParams,
    body: CreateContextBody,
    opts: CallOpts = {},
  ): Promise<ContextView> {
    const path = `${sandboxPath(key)}/contexts`;
    return this.#transport.json({ method: "POST", path, body, isAnswer: has("id") }, opts);
  }

  restartContext(key: SandboxParams, id: string, opts: CallOpts = {}): Promise<ContextView> {
    const path = `${contextPath(key, id)}/restart`;
    return this.#transport.json({ method: "POST", path, isAnswer: has("id") }, opts);
  }

  /** False when nothing was running. */
  async interruptContext(key: SandboxParams, id: string, opts: CallOpts = {}): Promise<boolean> {
    const answer = await this.#transport.json<{ interrupted: boolean }>(
      {
        method: "POST",
        path: `${contextPath(key, id)}/interrupt`,
        isAnswer: has("interrupted"),
      },
      opts,
    );
    return answer.interrupted;
  }

  async deleteContext(key: SandboxParams, id: string, opts: CallOpts = {}): Promise<void> {
    await this.#transport.json({ method: "DELETE", path: contextPath(key, id) }, opts);
  }

  /** What is kept, oldest first; with `follow` also what comes, until the reader stops or the sandbox is removed. */
  async *logs(
    key: SandboxParams,
    query: LogsQuery = {},
    opts: CallOpts = {},
  ): AsyncGenerator<LogEntryView> {
    const request = { method: "GET", path: `${sandboxPath(key)}/logs`, query } as const;
    if (query.follow !== true) {
      const isAnswer = Array.isArray;
      yield* await this.#transport.json<LogEntryView[]>({ ...request, isAnswer }, opts);
      return;
    }
    for await (const { event, data } of this.#transport.events(request, opts)) {
      const entry = logEntry(event, data);
      if (entry !== null) yield entry;
    }
  }

  async images(opts: CallOpts = {}): Promise<ImageView[]> {
    const list = await this.#transport.json<ImageList>(
      { method: "GET", path: "/images", isAnswer: has("images") },
      opts,
    );
    return list.images;
  }

  image(name: string, opts: CallOpts = {}): Promise<InspectedImageView> {
    const path = `/images/${imagePath(name)}`;
    return this.#transport.json({ method: "GET", path, isAnswer: has("digest") }, opts);
  }

  async pullImage(reference: string, opts: ProgressOpts = {}): Promise<ImageView> {
    const request = { method: "POST", path: "/images/pull", body: { reference } } as const;
    const done = await this.#finish<PullRecord>(request, opts);
    return done.image;
  }

  /** Makes what the next sandbox of this image and size starts from, before there is one. */
  async warmImage(body: WarmBody, opts: ProgressOpts = {}): Promise<WarmedView> {
    const request = { method: "POST", path: "/images/warm", body } as const;
    const done = await this.#finish<WarmRecord>(request, opts);
    return done.warmed;
  }

  removeImage(
    name: string,
    { force, ...opts }: CallOpts & { readonly force?: boolean | undefined } = {},
  ): Promise<RemovedImagesView> {
    const request = {
      method: "DELETE",
      path: `/images/${imagePath(name)}`,
      query: { force },
      isAnswer: has("digests"),
    } as const;
    return this.#transport.json(request, opts);
  }

  async #start(path: string, body: unknown, opts: ProgressOpts): Promise<SandboxView> {
    const done = await this.#finish<StartRecord>({ method: "POST", path, body }, opts);
    return done.sandbox;
  }

  /** Reads to the record `done`. */
  async #finish<T extends WorkRecord>(
    request: ApiRequest,
    { onProgress, ...opts }: ProgressOpts,
  ): Promise<Extract<T, { type: "done" }>> {
    let done: Extract<T, { type: "done" }> | undefined;
    for await (const record of this.#transport.records<WorkRecord>(request, opts)) {
      if (record.type === "progress") onProgress?.(record.progress);
      if (record.type === "done") done = record as Extract<T, { type: "done" }>;
    }
    // `records` ends with the last one, or throws.
    return done!;
  }
}

/** Does a document have this member? Those of other servers do not. */
function has(member: string): (document: unknown) => boolean {
  return (document) => isObject(document) && Object.hasOwn(document, member);
}

const isSandbox = has("spec");

function sandboxPath({ namespace, name }: SandboxParams): string {
  return `/sandboxes/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}

function contextPath(key: SandboxParams, id: string): string {
  return `${sandboxPath(key)}/contexts/${encodeURIComponent(id)}`;
}

/** Slashes of an image's name are slashes of the address. */
function imagePath(name: string): string {
  return name.split("/").map(encodeURIComponent).join("/");
}

/** The name of an event is the source of its entry; null for one that a later server may have. */
function logEntry(event: string | undefined, data: unknown): LogEntryView | null {
  if (event === "events") return { source: event, event: data } as LogEntryView;
  if (event === "console") return { source: event, ...(data as { text: string }) };
  return null;
}
