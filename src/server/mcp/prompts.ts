/** The two prompts: what a user picks to have a model start a sandbox. */
import { type Static, Type } from "@sinclair/typebox";
import type { GetPromptResult, Prompt } from "@modelcontextprotocol/sdk/types.js";
import { checked } from "./check.js";
import { invalidParams } from "./rpc-error.js";

const ARGUMENTS = [
  { name: "sandbox_name", description: "Name of the new sandbox", required: true },
  { name: "namespace", description: "Namespace it belongs to", required: true },
];

/** Both may be left out all the same, as the old server allowed. */
const PromptArguments = Type.Object({
  sandbox_name: Type.Optional(Type.String({ maxLength: 256 })),
  namespace: Type.Optional(Type.String({ maxLength: 256 })),
});

interface Template {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly image: string;
  readonly defaultSandbox: string;
}

const TEMPLATES: readonly Template[] = [
  {
    name: "create_python_sandbox",
    title: "New Python sandbox",
    description: "Start a sandbox in which Python code can be run",
    image: "microsandbox/python",
    defaultSandbox: "python-sandbox",
  },
  {
    name: "create_node_sandbox",
    title: "New Node.js sandbox",
    description: "Start a sandbox in which JavaScript code can be run",
    image: "microsandbox/node",
    defaultSandbox: "node-sandbox",
  },
];

export const PROMPTS: readonly Prompt[] = TEMPLATES.map(({ name, title, description }) => ({
  name,
  title,
  description,
  arguments: ARGUMENTS,
}));

/** Throws an RpcError for a prompt that is not there, and for arguments that are no texts. */
export function getPrompt(name: string, given: unknown): GetPromptResult {
  const template = TEMPLATES.find((candidate) => candidate.name === name);
  if (template === undefined) throw invalidParams(`Unknown prompt: ${name.slice(0, 100)}`);
  const args = checked(PromptArguments, given ?? {}, `Arguments of ${name}`);
  const text = promptText(template, args);
  return {
    description: template.description,
    messages: [{ role: "user", content: { type: "text", text } }],
  };
}

function promptText(template: Template, args: Static<typeof PromptArguments>): string {
  const call = {
    sandbox: args.sandbox_name ?? template.defaultSandbox,
    namespace: args.namespace ?? "default",
    config: { image: template.image, memory: 512, cpus: 1, workdir: "/workspace" },
  };
  return (
    "Call the tool sandbox_start with these arguments, and tell me when the sandbox is ready:\n\n" +
    JSON.stringify(call, null, 2)
  );
}
