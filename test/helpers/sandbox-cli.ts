/** Command lines of this process that talk to a server on sandboxes in memory. */
import { cli, type CliOpts, type CliResult } from "./cli.js";
import { listeningApp, type TestApp, type TestAppOpts } from "./test-app.js";

export interface SandboxCli extends TestApp {
  /** Names the server. */
  readonly env: Readonly<Record<string, string>>;
  readonly run: (args: readonly string[], opts?: CliOpts) => Promise<CliResult>;
  /** The arguments of all calls of a method of the sandboxes. */
  readonly argsOf: (method: string) => readonly (readonly unknown[])[];
}

export async function sandboxCli(opts: TestAppOpts = {}): Promise<SandboxCli> {
  const test = await listeningApp(opts);
  const env = { MSB_SERVER_URL: `http://127.0.0.1:${test.port}` };
  return {
    ...test,
    env,
    run: (args, cliOpts = {}) => cli(args, { ...cliOpts, env: { ...env, ...cliOpts.env } }),
    argsOf: (method) =>
      test.sandboxes.calls.filter((call) => call.method === method).map(({ args }) => args),
  };
}
