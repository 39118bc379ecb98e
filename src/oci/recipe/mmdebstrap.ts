/**
 * How mmdebstrap is called for a recipe (mmdebstrap(1), 1.3). Its hooks are shell programs, so they are constants
 * here: what differs from recipe to recipe reaches them as an argument or through the environment.
 */
import type { Env } from "../../config.js";
import type { Recipe } from "./recipe.js";

/** What the removal hook reads: one shell pattern a line. */
const REMOVE_VARIABLE = "MSB_RECIPE_REMOVE";
const PREFERENCES = "etc/apt/preferences.d/msb-ts-build";

/** What no image should have: facts about the building host, logs, and state that differs between two builds. */
export const ALWAYS_REMOVED: readonly string[] = [
  `/${PREFERENCES}`,
  // mmdebstrap copies both from the host.
  "/etc/resolv.conf",
  "/etc/hostname",
  // Copies that passwd's tools keep of the files before their last change, and their lock.
  ...["passwd", "group", "shadow", "gshadow", "subuid", "subgid"].map((name) => `/etc/${name}-`),
  "/etc/.pwd.lock",
  "/var/log/*",
  "/var/cache/apt/*.bin",
  "/var/cache/debconf/*-old",
  "/var/cache/ldconfig/aux-cache",
  "/var/lib/apt/lists/*_*",
  "/var/lib/dpkg/*-old",
  "/var/lib/systemd/random-seed",
];

/**
 * Links /bin, /sbin and /lib into /usr before anything is there, as Debian's installer does, and keeps the package
 * `usrmerge` out, which would do the same later but needs all of Perl (50 MB). `usr-is-merged` takes its place.
 */
function setupHook(debianArchitecture: string): string {
  const names = debianArchitecture === "amd64" ? "bin sbin lib lib64" : "bin sbin lib";
  return [
    'set -eu; cd "$1"',
    `for name in ${names}; do mkdir -p "usr/$name"; ln -s "usr/$name" "$name"; done`,
    `mkdir -p "$(dirname ${PREFERENCES})"`,
    `printf 'Package: usrmerge\\nPin: release *\\nPin-Priority: -1\\n' >${PREFERENCES}`,
  ].join("; ");
}

/** In a chroot, so that a link in the image (/var/run -> /run) is not followed into the host. */
const REMOVE_HOOK =
  `exec chroot "$1" sh -c 'set -eu; cd /; IFS=$(printf "\\n_"); IFS=\${IFS%_}; ` +
  `rm -rf --one-file-system -- $${REMOVE_VARIABLE}'`;

/**
 * matplotlib looks at all fonts when it is first imported, which takes seconds, on an emulated guest a minute. The list
 * is where MPLCONFIGDIR of the image's environment is to say, for whoever runs it, and in the same order in each build.
 */
const MATPLOTLIB_FONTS = `
import os
import matplotlib.font_manager as fonts
folder = os.environ["MPLCONFIGDIR"]
[name] = [name for name in os.listdir(folder) if name.startswith("fontlist-")]
for entries in (fonts.fontManager.ttflist, fonts.fontManager.afmlist):
    entries.sort(key=lambda entry: entry.fname)
fonts.json_dump(fonts.fontManager, os.path.join(folder, name))
os.chmod(folder, 0o1777)
`;
const CACHE_HOOKS: Readonly<Record<NonNullable<Recipe["caches"]>[number], string>> = {
  "matplotlib-fonts":
    "exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 PYTHONHASHSEED=0 " +
    `PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/var/cache/matplotlib chroot "$1" python3 -c '${MATPLOTLIB_FONTS}'`,
};

export interface MmdebstrapCall {
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** `mirrors` are lines of sources.list; none means mmdebstrap's own choice. */
export function mmdebstrapCall(
  recipe: Recipe,
  opts: { debianArchitecture: string; mirrors: readonly string[]; isRoot: boolean; env: Env },
): MmdebstrapCall {
  return {
    args: [
      // Its other modes for users need tools that make results differ.
      `--mode=${opts.isRoot ? "root" : "unshare"}`,
      "--format=tar",
      "--verbose",
      `--variant=${recipe.variant}`,
      `--architectures=${opts.debianArchitecture}`,
      ...recipe.packages.map((name) => `--include=${name}`),
      '--aptopt=APT::Install-Recommends "false"',
      ...recipe.exclude.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
      ...recipe.include.map((pattern) => `--dpkgopt=path-include=${pattern}`),
      // The guest mounts its own /dev; device nodes make an image unusable for tools without root.
      "--skip=output/dev",
      `--setup-hook=${setupHook(opts.debianArchitecture)}`,
      ...(recipe.caches ?? []).map((name) => `--customize-hook=${CACHE_HOOKS[name]}`),
      `--customize-hook=${REMOVE_HOOK}`,
      recipe.suite,
      "-",
      ...opts.mirrors,
    ],
    env: {
      ...inherited(opts.env),
      LC_ALL: "C.UTF-8",
      DEBIAN_FRONTEND: "noninteractive",
      SOURCE_DATE_EPOCH: String(Date.parse(recipe.created) / 1000),
      [REMOVE_VARIABLE]: [...ALWAYS_REMOVED, ...recipe.remove].join("\n"),
    },
  };
}

/** Maintainer scripts see the environment: only what the tools need gets there, no secrets and no settings. */
function inherited(env: Env): NodeJS.ProcessEnv {
  const proxies = ["http_proxy", "https_proxy", "no_proxy"].flatMap((n) => [n, n.toUpperCase()]);
  const kept = ["HOME", "TMPDIR", ...proxies].filter((name) => env[name] !== undefined);
  const system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const path = env["PATH"] === undefined ? system : `${system}:${env["PATH"]}`;
  return { ...Object.fromEntries(kept.map((name) => [name, env[name]])), PATH: path };
}
