/** Where a registry's API is: Docker Hub's real host, mirrors, TLS or not. */
import type { RegistrySettings, Settings } from "../../settings.js";
import { isLoopbackHost } from "../../util/host-port.js";
import { DEFAULT_REGISTRY } from "../reference.js";

/** Docker Hub is named by one host and served by another. */
const DOCKER_HUB_API = "registry-1.docker.io";

export interface Endpoint {
  /** As users name it; credentials are kept under it. */
  readonly registry: string;
  /** Scheme, host and port. */
  readonly base: URL;
  /** What a mirror's repositories begin with: empty, or `hub/`. */
  readonly folder: string;
  readonly isMirror: boolean;
  /** Plain HTTP beyond this machine was asked for. */
  readonly allowPlainHttp: boolean;
  readonly caFile: string | undefined;
}

/**
 * The mirrors of a registry in the order of the settings, then the registry itself. With `plainHttp` that one is
 * reached without TLS whatever the settings say; without it they decide.
 */
export function endpointsOf(
  registry: string,
  settings: Settings,
  opts: { plainHttp?: boolean | undefined } = {},
): Endpoint[] {
  const own = settings.registries[registry];
  // Not to ask for it is not to forbid it.
  const plainHttp = opts.plainHttp === true ? true : own?.plainHttp;
  const mirrors = (own?.mirrors ?? []).map((text) => mirrorEndpoint(text, settings));
  return [...mirrors, endpoint(registry, "", { own, plainHttp, isMirror: false })];
}

/** `text` is `[http://|https://]host[:port][/folder]`; the settings were checked for that. */
function mirrorEndpoint(text: string, settings: Settings): Endpoint {
  const [, scheme, host = "", folder = ""] =
    /^(?:(https?):\/\/)?([^/]+)\/?(.*?)\/?$/.exec(text) ?? [];
  const registry = host.toLowerCase();
  const own = settings.registries[registry];
  const plainHttp = scheme === undefined ? own?.plainHttp : scheme === "http";
  return endpoint(registry, folder, { own, plainHttp, isMirror: true });
}

function endpoint(
  registry: string,
  folder: string,
  opts: { own: RegistrySettings | undefined; plainHttp: boolean | undefined; isMirror: boolean },
): Endpoint {
  const host = registry === DEFAULT_REGISTRY ? DOCKER_HUB_API : registry;
  // On this machine nobody is on the way, and registries there rarely have a certificate.
  const isPlain = opts.plainHttp ?? isLoopbackHost(host);
  return {
    registry,
    base: new URL(`${isPlain ? "http" : "https"}://${host}`),
    folder: folder === "" ? "" : `${folder}/`,
    isMirror: opts.isMirror,
    allowPlainHttp: opts.plainHttp === true,
    caFile: opts.own?.caFile,
  };
}
