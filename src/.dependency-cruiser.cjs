// The import rule of src/README.md, checked: the listed arrows are the only allowed directions.
const allow = (from, to, extra = {}) => ({
  from: { path: `^src/${from}`, ...extra },
  to: { path: to.map((t) => `^src/${t}`) },
});

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    {
      name: "no-unresolved",
      severity: "error",
      comment: "the guest's program for Node.js uses internal modules of Node.js",
      from: { pathNot: "^src/kernel/programs/kernel\\.cjs$" },
      to: { couldNotResolve: true },
    },
    {
      name: "only-binding-loads-the-addon",
      severity: "error",
      comment: "the guest's program for Node.js loads modules of the guest's",
      from: { path: "^src/", pathNot: "^src/(native/binding\\.ts|kernel/programs/kernel\\.cjs)$" },
      to: { path: "^module$" },
    },
    {
      name: "only-util-process-spawns",
      severity: "error",
      comment:
        "host processes start in util/process.ts, before that is built in checkout/; microVMs start in the addon",
      from: { path: "^src/", pathNot: "^src/(util/process\\.ts$|checkout/)" },
      to: { path: "^(node:)?child_process$" },
    },
    {
      name: "the-sdk-runs-anywhere",
      severity: "error",
      comment: "browsers, Deno and Bun have no modules of Node.js",
      from: { path: "^src/sdk/" },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "the-sdk-has-types-of-the-wire-alone",
      severity: "error",
      comment: "schemas are the server's to check",
      from: { path: "^src/sdk/" },
      to: { path: "^src/(api/|kernel/run-types)", dependencyTypesNot: ["type-only"] },
    },
  ],
  allowedSeverity: "error",
  allowed: [
    { from: {}, to: { pathNot: "^src/" } },
    allow("index\\.ts$", ["sdk/", "api/", "errors\\.ts$"]),
    allow("microvm\\.ts$", ["."]),
    allow("(errors|paths)\\.ts$", ["errors\\.ts$"]),
    allow("config\\.ts$", ["errors\\.ts$"]),
    allow("util/", ["util/", "errors\\.ts$"]),
    allow("agent/", ["agent/", "util/", "errors\\.ts$"]),
    allow("native/", ["native/", "util/", "errors\\.ts$"]),
    allow("disk/", ["disk/", "native/", "util/", "paths\\.ts$", "errors\\.ts$"]),
    allow("runtime/", [
      "runtime/",
      "disk/",
      "native/",
      "util/",
      "paths\\.ts$",
      "errors\\.ts$",
      "config\\.ts$",
    ]),
    allow("hypervisor/", [
      "hypervisor/",
      "runtime/",
      "disk/",
      "native/",
      "util/",
      "(paths|config|errors)\\.ts$",
    ]),
    allow("settings\\.ts$", ["(paths|errors)\\.ts$", "util/"]),
    allow("oci/", ["oci/", "disk/", "native/", "util/", "(paths|config|settings|errors)\\.ts$"]),
    allow("sdk/", [
      "sdk/",
      "api/",
      "kernel/run-types\\.ts$",
      "util/(async|run-notes)\\.ts$",
      "errors\\.ts$",
    ]),
    allow("cli/", [
      "cli/",
      "sdk/",
      "api/",
      "oci/",
      "util/",
      "(sandbox/service|kernel/run-types)\\.ts$",
      "(paths|config|settings|errors)\\.ts$",
    ]),
    allow("cli/own-server\\.ts$", ["server/(auth|process)"]),
    // The commands of the server start it and look after its process; nothing else of the CLI knows it.
    allow("cli/commands/server/", ["server/(start|auth|process)", "native/process-identity\\.ts$"]),
    allow("cli/main\\.ts$", ["sandbox/images-in-use\\.ts$"]),
    // Runs of this process: their types where they are used, their parts in one place.
    allow("cli/(context|start|local-run|commands/run/)", [
      "sandbox/(run-once|service)\\.ts$",
      "agent/(frame|messages)\\.ts$",
    ]),
    allow("cli/(local-run|progress/fetches)\\.ts$", ["(hypervisor/open|runtime/resolve)\\.ts$"]),
    allow("cli/commands/doctor/", [
      "(native|runtime|hypervisor)/",
      "(sandbox/guest|disk/empty-image)\\.ts$",
      "server/process/server-lock\\.ts$",
    ]),
    allow("cli/commands/setup\\.ts$", ["runtime/"]),
    // Which server is started; tests start another one.
    allow("cli/(main|service-host)\\.ts$", ["server/(start|process/serve)\\.ts$"]),
    allow("kernel/", ["kernel/", "agent/", "util/", "errors\\.ts$"]),
    allow("api/", ["api/", "(kernel/run-types|sandbox/service|errors)\\.ts$", "util/"]),
    allow("server/", [
      "server/",
      "api/",
      "oci/",
      "util/",
      "(kernel/run-types|sandbox/service|hypervisor/driver)\\.ts$",
      "(paths|config|errors)\\.ts$",
    ]),
    // Runs before anything is built, and what was built only by its path.
    allow("checkout/", ["checkout/"]),
    allow("server/process/", ["native/(file-lock|process-identity)\\.ts$"]),
    // The composition root: the only place that names concrete drivers, kernels and stores.
    allow("server/start", ["."]),
    allow("sandbox/", [
      "sandbox/",
      "hypervisor/",
      "agent/",
      "kernel/",
      "api/names\\.ts$",
      "oci/",
      "disk/",
      "native/",
      "runtime/",
      "util/",
      "(paths|config|errors)\\.ts$",
    ]),
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    // As Node.js resolves: some packages have their files only behind "exports".
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default"],
    },
  },
};
