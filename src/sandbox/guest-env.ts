/** What programs of a sandbox find: environment, folder and user, of image and user together. */
import type { RunConfig } from "../oci/image.js";
import type { SandboxSpec, StreamCommandRequest } from "./service.js";
import { checkedEnv, checkedUser, checkedWorkdir } from "./spec.js";

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
  const defaults = [`PATH=${DEFAULT_PATH}`, homeEntry(user)];
  return {
    env: mergeEnv(defaults, image.env, spec.env),
    workdir: spec.workdir ?? (image.workingDir || "/"),
    user,
  };
}

/** The same for one command that asks for something else. Throws MSB_ERR_INVALID_ARGUMENT. */
export function commandContext(
  context: GuestContext,
  asked: Pick<StreamCommandRequest, "env" | "workdir" | "user">,
): GuestContext {
  const user = checkedUser(asked.user ?? null) ?? context.user;
  // Where it is not the default, somebody has chosen it.
  const isDefaultHome = context.env.includes(homeEntry(context.user));
  return {
    env: mergeEnv(
      context.env,
      isDefaultHome ? [homeEntry(user)] : [],
      checkedEnv("env", asked.env ?? []),
    ),
    workdir: checkedWorkdir(asked.workdir ?? null) ?? context.workdir,
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

function homeEntry(user: string): string {
  return `HOME=${homeOf(user)}`;
}

/** Without a look into the guest's /etc/passwd: what it says is set by the image or the user. */
function homeOf(user: string): string {
  const name = user.replace(/:.*$/s, "");
  if (name === "root" || name === "0") return "/root";
  return /^\d+$/.test(name) ? "/" : `/home/${name}`;
}
