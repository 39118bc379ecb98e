/** The five tools as models see them: names, what they do, what they take. */
import { Type } from "@sinclair/typebox";
import type { Tool } from "@modelcontextprotocol/sdk/types.js";

/**
 * Of code and commands whose caller names none. HTTP clients wait five minutes for an answer at most by default, so
 * that whatever runs longer would run for nobody.
 */
export const DEFAULT_TIMEOUT_S = 300;

const NAME = "^[A-Za-z0-9][A-Za-z0-9_-]*$";

const Sandbox = Type.String({
  description:
    "Name of the sandbox: up to 63 letters, digits, hyphens and underscores, the first a letter or digit.",
  pattern: NAME,
  minLength: 1,
  maxLength: 63,
});

const Namespace = Type.String({
  description:
    "Namespace of the sandbox. Equal names in different namespaces are different sandboxes.",
  pattern: NAME,
  minLength: 1,
  maxLength: 63,
});

const Timeout = Type.Optional(
  Type.Integer({
    description: `Seconds until it is ended. Default ${DEFAULT_TIMEOUT_S}.`,
    minimum: 1,
    maximum: 86_400,
  }),
);

const Strings = (description: string) =>
  Type.Optional(Type.Array(Type.String({ maxLength: 131_072 }), { description, maxItems: 4096 }));

export const StartArguments = Type.Object({
  sandbox: Sandbox,
  namespace: Namespace,
  config: Type.Optional(
    Type.Object(
      {
        image: Type.Optional(
          Type.String({
            description:
              "Any OCI image, such as python:3.12-slim or ghcr.io/owner/name:tag. microsandbox/python and " +
              "microsandbox/node have what most code needs. Required when the sandbox is new.",
            minLength: 1,
            maxLength: 512,
          }),
        ),
        memory: Type.Optional(
          Type.Integer({ description: "Memory in MiB.", minimum: 1, maximum: 2 ** 32 - 1 }),
        ),
        cpus: Type.Optional(
          Type.Integer({ description: "Number of virtual CPUs.", minimum: 1, maximum: 255 }),
        ),
        envs: Strings("Environment variables, each NAME=value."),
        workdir: Type.Optional(
          Type.String({
            description: "Folder in which code and commands start; the image's own if absent.",
            minLength: 1,
            maxLength: 4096,
          }),
        ),
      },
      { description: "How the sandbox is made. Without an image the stored one is started again." },
    ),
  ),
});

export const StopArguments = Type.Object({ sandbox: Sandbox, namespace: Namespace });

export const RunCodeArguments = Type.Object({
  sandbox: Sandbox,
  namespace: Namespace,
  code: Type.String({ description: "Source text, one or more lines." }),
  language: Type.String({
    description: "python, or node (also called nodejs and javascript).",
    maxLength: 32,
  }),
  timeout: Timeout,
});

export const RunCommandArguments = Type.Object({
  sandbox: Sandbox,
  namespace: Namespace,
  command: Type.String({
    description:
      "One program, by its name in PATH or its path. No shell reads it: for pipes and variables run sh with the " +
      'arguments ["-c", "..."].',
    minLength: 1,
    maxLength: 4096,
  }),
  args: Strings("Arguments of the program, each an element of its own."),
  timeout: Timeout,
});

export const MetricsArguments = Type.Object({
  namespace: Type.String({
    description: "Namespace to look at, or * for all.",
    pattern: `${NAME}|^\\*$`,
    minLength: 1,
    maxLength: 63,
  }),
  sandbox: Type.Optional(
    Type.Union([Sandbox, Type.Null()], {
      description: "Name of one sandbox; all of the namespace if absent.",
    }),
  ),
});

const READ_ONLY = {
  readOnlyHint: true,
  destructiveHint: false,
  idempotentHint: true,
  openWorldHint: false,
};

/** `inputSchema` is plain JSON Schema; TypeBox keeps its own marks in symbols, which JSON leaves out. */
export const TOOLS = [
  {
    name: "sandbox_start",
    title: "Start a sandbox",
    description:
      "Starts a sandbox, a small virtual machine of its own made of any OCI image, and answers when code can be run " +
      "in it. Starting one that runs changes nothing and keeps its state. An image that is not here yet is fetched " +
      "first, which can take minutes; if that is too long for this call, the start goes on, and calling again waits " +
      "for it. The sandbox has no network. Stop it when it is not needed any more.",
    inputSchema: StartArguments,
    annotations: {
      readOnlyHint: false,
      // A config that differs replaces the stored one and may replace the disk of a stopped sandbox.
      destructiveHint: true,
      idempotentHint: true,
      openWorldHint: true,
    },
  },
  {
    name: "sandbox_stop",
    title: "Stop a sandbox",
    description:
      "Stops a sandbox and frees its memory. What runs in it ends and variables are lost; its files stay for the next " +
      "start. Stopping one that does not run is no error.",
    inputSchema: StopArguments,
    annotations: {
      readOnlyHint: false,
      destructiveHint: true,
      idempotentHint: true,
      openWorldHint: false,
    },
  },
  {
    name: "sandbox_run_code",
    title: "Run code",
    description:
      "Runs Python or JavaScript in a running sandbox. Variables, imports and functions stay for the next call. The " +
      "value of every expression at the top level is printed. The result has what was printed, line by line; status is " +
      "error after an exception, whose traceback is on stderr. Pictures that the code displays come as images.",
    inputSchema: RunCodeArguments,
    annotations: {
      readOnlyHint: false,
      destructiveHint: true,
      idempotentHint: false,
      openWorldHint: false,
    },
  },
  {
    name: "sandbox_run_command",
    title: "Run a command",
    description:
      "Runs one program in a running sandbox to its end. The result has its exit code and what it printed, line by " +
      "line. Each call is a process of its own: a cd or export does not last, files do.",
    inputSchema: RunCommandArguments,
    annotations: {
      readOnlyHint: false,
      destructiveHint: true,
      idempotentHint: false,
      openWorldHint: false,
    },
  },
  {
    name: "sandbox_get_metrics",
    title: "Look at sandboxes",
    description:
      "Lists sandboxes and whether they run, with what those that run use: cpu_usage in percent of one core, " +
      "memory_usage in MiB, disk_usage in bytes.",
    inputSchema: MetricsArguments,
    annotations: READ_ONLY,
  },
] as const satisfies readonly Tool[];

export type ToolName = (typeof TOOLS)[number]["name"];
