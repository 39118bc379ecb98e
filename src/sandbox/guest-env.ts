/** What programs of a sandbox find: environment, folder and user, of image and user together. */
import type { RunConfig } from "../oci/image.js";
import type { SandboxSpec } from "./service.js";

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface GuestContext {
  /** NAME=value, each name once. */
  readonly env: readonly string[];
  readonly workdir: string;
  readonly user: string;
}

export function guestContext(
  image: Pick<RunConfig, "env" | "workingDir" | "user">,
  spec: Pick<SandboxSpec, "env" | "workdir" | "user">,
): GuestContext {
  const user = spec.user ?? (image.user || "root");
  const defaults = [`PATH=${DEFAULT_PATH}`, `HOME=${homeOf(user)}`];
  return {
    env: mergeEnv(defaults, image.env, spec.env),
    workdir: spec.workdir ?? (image.workingDir || "/"),
    user,
  };
}

/** Later entries win and keep the place of the first. */
export function mergeEnv(...lists: readonly (readonly string[])[]): readonly string[] {
  const values = new Map<string, string>();
  for (const entry of lists.flat()) {
    const equals = entry.indexOf("=");
    // An image may name a variable without a value; it is then as good as not set.
    if (equals > 0) values.set(entry.slice(0, equals), entry);
  }
  return [...values.values()];
}

/** Without a look into the guest's /etc/passwd: what it says is set by the image or the user. */
function homeOf(user: string): string {
  const name = user.replace(/:.*$/s, "");
  if (name === "root" || name === "0") return "/root";
  return /^\d+$/.test(name) ? "/" : `/home/${name}`;
}
