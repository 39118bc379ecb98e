/** Calls of tools: arguments checked, access checked, done, and told as MCP tells it. */
import type { Static, TSchema } from "@sinclair/typebox";
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import { isMsbError } from "../../errors.js";
import type { Language } from "../../kernel/run-types.js";
import type { SandboxService } from "../../sandbox/service.js";
import type { Principal } from "../auth/authenticator.js";
import { LANGUAGE_NAMES, languageOf } from "../calls/language.js";
import { readMetrics } from "../calls/read-metrics.js";
import { commandResult, metricsResult, startText, stopText } from "../calls/results.js";
import { collectRunLines } from "../calls/run-lines.js";
import { startSpec } from "../calls/start-config.js";
import { requireNamespace } from "../namespace-access.js";
import { checked } from "./check.js";
import { imageContent } from "./image-content.js";
import { invalidParams, RpcError } from "./rpc-error.js";
import {
  DEFAULT_TIMEOUT_S,
  MetricsArguments,
  RunCodeArguments,
  RunCommandArguments,
  StartArguments,
  StopArguments,
  type ToolName,
} from "./tools.js";

export interface ToolContext {
  readonly sandboxes: SandboxService;
  readonly principal: Principal;
  /** Of one run of code, all together. */
  readonly maxOutputBytes: number;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** Told of errors that are nobody's but ours; gives the sentence that the caller may read. */
  readonly onInternalError: (error: unknown) => string;
}

type Content = CallToolResult["content"];

/** A call whose arguments have the right shape. */
interface ToolCall {
  readonly namespace: string;
  readonly run: () => Promise<Content>;
}

interface ToolEntry {
  /** Begins the text of a failure. */
  readonly failed: string;
  /** Throws an RpcError for arguments of the wrong shape. */
  readonly prepare: (given: unknown, context: ToolContext) => ToolCall;
}

function entry<T extends TSchema & { static: { namespace: string } }>(
  failed: string,
  schema: T,
  run: (args: Static<T>, context: ToolContext) => Promise<Content>,
): ToolEntry {
  return {
    failed,
    prepare: (given, context) => {
      const args = checked(schema, given ?? {}, "Arguments of the tool");
      return { namespace: args.namespace, run: () => run(args, context) };
    },
  };
}

const ENTRIES: Readonly<Record<ToolName, ToolEntry>> = {
  // Not tied to the caller's connection: an image that takes longer than the caller waits would never be there.
  sandbox_start: entry(
    "Sandbox start failed",
    StartArguments,
    async ({ sandbox: name, namespace, config }, { sandboxes }) => {
      await sandboxes.start({ namespace, name }, startSpec(config, "config"));
      return [asText(startText(name))];
    },
  ),
  sandbox_stop: entry(
    "Sandbox stop failed",
    StopArguments,
    async ({ sandbox: name, namespace }, { sandboxes }) => {
      await sandboxes.stop({ namespace, name });
      return [asText(stopText(name))];
    },
  ),
  sandbox_run_code: entry("Run code failed", RunCodeArguments, async (args, context) => {
    const { sandbox: name, namespace, code, timeout: timeoutS = DEFAULT_TIMEOUT_S } = args;
    const request = { language: requireLanguage(args.language), code, timeoutMs: timeoutS * 1000 };
    const { sandboxes, signal, maxOutputBytes } = context;
    const images: Content = [];
    const { status, output } = await collectRunLines(
      sandboxes.runCode({ namespace, name }, request, { signal }),
      {
        timeoutSeconds: timeoutS,
        maxOutputBytes,
        onResult: (result) => {
          const shown = imageContent(result);
          images.push(...shown);
          return shown.reduce((bytes, { data }) => bytes + data.length, 0);
        },
      },
    );
    return [asText({ status, language: args.language, output }), ...images];
  }),
  sandbox_run_command: entry("Run command failed", RunCommandArguments, async (given, context) => {
    const { sandbox: name, namespace, command, args = [], timeout = DEFAULT_TIMEOUT_S } = given;
    const request = { command, args, timeoutMs: timeout * 1000 };
    const { signal } = context;
    const result = await context.sandboxes.runCommand({ namespace, name }, request, { signal });
    return [asText(commandResult(request, result))];
  }),
  sandbox_get_metrics: entry(
    "Get metrics failed",
    MetricsArguments,
    async ({ namespace, sandbox = null }, { sandboxes, signal }) => [
      asText(metricsResult(await readMetrics(sandboxes, namespace, sandbox, signal))),
    ],
  ),
};

/**
 * Calls the tool `name`. What it fails at is a result with `isError`, so that a model reads the cause; throws an
 * RpcError for a tool that is not there and for arguments of the wrong shape.
 */
export async function callTool(
  name: string,
  given: unknown,
  context: ToolContext,
): Promise<CallToolResult> {
  if (!Object.hasOwn(ENTRIES, name)) throw invalidParams(`Unknown tool: ${name.slice(0, 100)}`);
  const { failed, prepare } = ENTRIES[name as ToolName];
  const call = prepare(given, context);
  try {
    // Of the tool's own arguments: this is the namespace that is used.
    requireNamespace(context.principal, call.namespace);
    return { content: await call.run() };
  } catch (error) {
    if (error instanceof RpcError) throw error;
    const cause = isMsbError(error) ? error.message : context.onInternalError(error);
    return { isError: true, content: [{ type: "text", text: `Error: ${failed}: ${cause}` }] };
  }
}

/** Throws an RpcError. */
function requireLanguage(name: string): Language {
  const language = languageOf(name);
  if (language !== undefined) return language;
  const known = LANGUAGE_NAMES.join(", ");
  throw invalidParams(`The language ${JSON.stringify(name)} is not known; use one of ${known}`);
}

function asText(value: unknown): Content[number] {
  return { type: "text", text: JSON.stringify(sorted(value), null, 2) };
}

/** With the members of objects in the order of their names, as this wire always had them. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, member]) => [key, sorted(member)]));
}
