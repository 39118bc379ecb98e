/**
 * Pulling from registries: the read side of the OCI distribution spec v1.1 (spec.md, "Pull"). Mirrors before the
 * registry itself, tries that failed for a passing reason again.
 */
import type { Env } from "../../config.js";
import { isMsbError, MsbError } from "../../errors.js";
import type { Settings } from "../../settings.js";
import { throwIfAborted } from "../../util/async.js";
import type { Digest } from "../digest.js";
import type { Descriptor } from "../manifest.js";
import { canonicalName, type ImageReference } from "../reference.js";
import { type OpenedBlob, requestBlob } from "./blob-request.js";
import { DEFAULT_TIMEOUTS, type openConnections, type Timeouts } from "./dispatcher.js";
import { type Endpoint, endpointsOf } from "./endpoint.js";
import { EndpointClient } from "./endpoint-client.js";
import { type FetchedManifest, requestManifest } from "./manifest-request.js";
import {
  type Clock,
  DEFAULT_RETRY,
  type OnRetry,
  type RetryPolicy,
  SYSTEM_CLOCK,
  withRetry,
} from "./retry.js";

export interface RegistryClientOpts {
  readonly settings: Settings;
  /** Proxies, CAs, Docker's configuration; the process's own when it is not given. */
  readonly env?: Env;
  /** Plain HTTP for the registry that is asked, whatever the settings say; without it they decide. */
  readonly plainHttp?: boolean | undefined;
  /** Told before each pause. */
  readonly onRetry?: OnRetry;
  /** Told when a mirror is passed over. */
  readonly onMirrorFailed?: (mirror: string, error: MsbError) => void;
  readonly timeouts?: Partial<Timeouts>;
  readonly retry?: Partial<RetryPolicy>;
  readonly clock?: Clock;
  /** What tests replace to go without a network. */
  readonly openConnections?: typeof openConnections;
}

export interface GetManifestOpts {
  /** In place of the reference's tag and digest. */
  readonly digest?: Digest;
  readonly signal?: AbortSignal;
}

export interface OpenBlobOpts {
  /** Bytes that are there already. */
  readonly offset?: number;
  /** `skip` after a mirror sent what the blob is not. */
  readonly mirrors?: "use" | "skip";
  readonly signal?: AbortSignal;
}

export class RegistryClient implements AsyncDisposable {
  readonly #opts: RegistryClientOpts;
  readonly #timeouts: Timeouts;
  readonly #retry: RetryPolicy;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  /** One for each endpoint, so that connections and tokens are shared. */
  readonly #clients = new Map<string, Promise<EndpointClient>>();

  private constructor(opts: RegistryClientOpts) {
    this.#opts = opts;
    this.#timeouts = { ...DEFAULT_TIMEOUTS, ...opts.timeouts };
    this.#retry = { ...DEFAULT_RETRY, ...opts.retry };
    this.#clock = opts.clock ?? SYSTEM_CLOCK;
  }

  /** Nothing is connected or read before it is needed. */
  static open(opts: RegistryClientOpts): RegistryClient {
    return new RegistryClient(opts);
  }

  /** Ends what is under way with MSB_ERR_ABORTED. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new MsbError("MSB_ERR_ABORTED", "The registry client was closed."));
    const clients = await Promise.allSettled(this.#clients.values());
    this.#clients.clear();
    for (const client of clients) {
      if (client.status === "fulfilled") await client.value[Symbol.asyncDispose]();
    }
  }

  /**
   * An index or manifest: by digest if there is one, else by tag. Its bytes have the digest that was asked for,
   * or that the registry says the tag stands for. Throws MSB_ERR_IMAGE_NOT_FOUND, MSB_ERR_IMAGE_INVALID,
   * MSB_ERR_DIGEST_MISMATCH, MSB_ERR_REGISTRY, MSB_ERR_REGISTRY_UNAVAILABLE, MSB_ERR_REGISTRY_AUTH.
   */
  getManifest(ref: ImageReference, opts: GetManifestOpts = {}): Promise<FetchedManifest> {
    const digest = opts.digest ?? ref.digest;
    const { repository } = ref;
    const reference = digest ?? { tag: ref.tag ?? "latest" };
    const named = opts.digest === undefined ? canonicalName(ref) : shortName(ref, opts.digest);
    const what = `The manifest of ${named}`;
    const timeoutMs = this.#timeouts.documentMs;
    return this.#fromFirst(endpointsOf(ref.registry, this.#opts.settings, this.#opts), {
      what,
      signal: opts.signal,
      work: (client, signal) =>
        requestManifest(client, { repository, reference, what, timeoutMs, signal }),
    });
  }

  /**
   * One blob from `offset` on. Tries again by itself until the first byte; after that a lost connection is an
   * error of the body, MSB_ERR_REGISTRY_UNAVAILABLE, and the caller goes on with a new offset. `offset` of the
   * answer is 0 when the registry does not do ranges. The bytes are not verified, but they are never more than
   * `descriptor.size - offset`.
   */
  async openBlob(
    ref: ImageReference,
    descriptor: Descriptor,
    opts: OpenBlobOpts = {},
  ): Promise<OpenedBlob> {
    const { offset = 0, mirrors = "use" } = opts;
    if (!Number.isInteger(offset) || offset < 0 || offset > descriptor.size) {
      throw new MsbError(
        "MSB_ERR_INVALID_ARGUMENT",
        `offset cannot be ${offset}: the blob has ${descriptor.size} bytes.`,
        { details: { offset, size: descriptor.size } },
      );
    }
    if (offset === descriptor.size) return { offset, body: nothing() };
    const { repository } = ref;
    const what = `The blob ${shortName(ref, descriptor.digest)}`;
    const endpoints = endpointsOf(ref.registry, this.#opts.settings, this.#opts);
    return this.#fromFirst(
      endpoints.filter(({ isMirror }) => !isMirror || mirrors === "use"),
      {
        what,
        signal: opts.signal,
        work: (client, signal) =>
          requestBlob(client, { repository, descriptor, offset, what, signal }),
      },
    );
  }

  /** The first of `endpoints` that can do the work; the last one is the registry itself, and gets more tries. */
  async #fromFirst<T>(endpoints: readonly Endpoint[], task: Task<T>): Promise<T> {
    const { what, work } = task;
    const closing = this.#closing.signal;
    const signal = task.signal === undefined ? closing : AbortSignal.any([task.signal, closing]);
    for (const endpoint of endpoints) {
      const policy = endpoint.isMirror ? { ...this.#retry, attempts: 1 } : this.#retry;
      const attempt = async (): Promise<T> => work(await this.#client(endpoint), signal);
      const { onRetry } = this.#opts;
      try {
        throwIfAborted(signal, what);
        return await withRetry(attempt, { what, policy, clock: this.#clock, onRetry, signal });
      } catch (error) {
        // A mirror that fails, however it does, is no reason to go without the image.
        if (!endpoint.isMirror || !isMsbError(error) || signal.aborted) throw error;
        this.#opts.onMirrorFailed?.(endpoint.registry, error);
      }
    }
    throw new MsbError("MSB_ERR_INTERNAL", `${what} has no registry to come from.`);
  }

  #client(endpoint: Endpoint): Promise<EndpointClient> {
    const { base, folder, allowPlainHttp, registry } = endpoint;
    const key = [registry, base.href, folder, allowPlainHttp].join(" ");
    const known = this.#clients.get(key);
    if (known !== undefined) return known;
    const opened = EndpointClient.open(endpoint, {
      settings: this.#opts.settings,
      env: this.#opts.env ?? process.env,
      timeouts: this.#timeouts,
      clock: this.#clock,
      closed: this.#closing.signal,
      openConnections: this.#opts.openConnections,
    });
    this.#clients.set(key, opened);
    // What could not be opened is tried anew.
    opened.catch(() => this.#clients.delete(key));
    return opened;
  }
}

interface Task<T> {
  readonly what: string;
  readonly signal: AbortSignal | undefined;
  readonly work: (client: EndpointClient, signal: AbortSignal) => Promise<T>;
}

function shortName({ registry, repository }: ImageReference, digest: Digest): string {
  return `${registry}/${repository}@${digest}`;
}

/** What is left of a blob that is there already. */
async function* nothing(): AsyncGenerator<Buffer, void, undefined> {}
