/** Calls of tools: arguments checked, access checked, done, and told as MCP tells it. */
import type { Static, TSchema } from "@sinclair/typebox";
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import { isMsbError, MsbError } from "../../errors.js";
import type { SandboxService } from "../../sandbox/service.js";
import { ANY_NAMESPACE, type Principal } from "../auth/authenticator.js";
import { commandResult, metricsResult, replResult, startText, stopText } from "../wire-results.js";
import { checked } from "./check.js";
import { codeLanguage, collectRun, imagesOf } from "./code-run.js";
import { readMetrics } from "./read-metrics.js";
import { invalidParams, RpcError } from "./rpc-error.js";
import { startSpec } from "./start-spec.js";
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
      await sandboxes.start({ namespace, name }, startSpec(config));
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
    const request = { language: codeLanguage(args.language), code, timeoutMs: timeoutS * 1000 };
    const events = await collectRun(
      context.sandboxes.runCode({ namespace, name }, request, { signal: context.signal }),
      context.maxOutputBytes,
    );
    return [asText(replResult(args.language, events, timeoutS)), ...imagesOf(events)];
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
    checkAccess(context.principal, call.namespace);
    return { content: await call.run() };
  } catch (error) {
    if (error instanceof RpcError) throw error;
    const cause = isMsbError(error) ? error.message : context.onInternalError(error);
    return { isError: true, content: [{ type: "text", text: `Error: ${failed}: ${cause}` }] };
  }
}

/** The namespace that counts is that in the tool's arguments, which is the one that is used. */
function checkAccess({ namespace: allowed }: Principal, namespace: string): void {
  if (allowed === ANY_NAMESPACE || allowed === namespace) return;
  throw new MsbError(
    "MSB_ERR_ACCESS_DENIED",
    `Access denied: the key is for namespace ${allowed}, not for ${namespace}.`,
  );
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
