/** `msb-ts server keygen`. */
import { serverConfig } from "../../../config.js";
import type { MsbPaths } from "../../../paths.js";
import { CliCommand, UsageError } from "../../command.js";
import type { CliContext } from "../../context.js";
import { given } from "../image/options.js";
import { printJson, printLine, printTable } from "../../output.js";
import { homePaths, type HomeOpts, keyFileOption, pathOption } from "./options.js";

interface KeygenOpts extends HomeOpts {
  readonly expire?: string;
  readonly namespace?: string;
  readonly keyFile?: string;
  readonly revoke?: string;
  readonly listRevoked?: true;
}

export function keygenCommand(ctx: CliContext): CliCommand {
  const command = new CliCommand("keygen");
  return command
    .summary("make an access key, or take one back")
    .description(
      "Make a key that a client calls the server with (Authorization: Bearer KEY). It is shown once and kept " +
        "nowhere. A running server accepts it at once, and refuses a revoked one from its next request on.",
    )
    .option("--expire <duration>", "valid so long: 90m, 12h, 30d, 6mo, 1y; a number is hours (24h)")
    .option("-n, --namespace <name>", "for the sandboxes of this namespace only (*, which is all)")
    .addOption(keyFileOption())
    .option("--revoke <id>", "take back the key with this id")
    .option("--list-revoked", "list the keys that were taken back")
    .addOption(pathOption())
    .jsonOption()
    .example("A key for a month", "msb-ts server keygen --expire 30d")
    .example("A key for one team", "msb-ts server keygen --namespace team-a")
    .example("In a script", 'MSB_API_KEY="$(msb-ts server keygen --json | jq -r .token)"')
    .action((opts: KeygenOpts) => keygen(ctx, command, opts));
}

async function keygen(ctx: CliContext, command: CliCommand, opts: KeygenOpts): Promise<void> {
  const paths = homePaths(ctx, opts);
  const { revoke, listRevoked: wantsList, expire, namespace } = opts;
  const isIssue = expire !== undefined || namespace !== undefined;
  if ([revoke !== undefined, wantsList === true, isIssue].filter(Boolean).length > 1) {
    throw new UsageError(
      command,
      "--revoke, --list-revoked and the options of a new key do not go together.",
    );
  }
  if (revoke !== undefined) return revokeOne(ctx, opts, paths, revoke);
  if (wantsList) return listAll(ctx, opts, paths);
  return issue(ctx, opts, paths);
}

async function issue(ctx: CliContext, opts: KeygenOpts, paths: MsbPaths): Promise<void> {
  const { issueApiKey } = await import("../../../server/auth/api-key.js");
  const { ServerKey } = await import("../../../server/auth/server-key.js");
  const { DEFAULT_KEY_LIFETIME_S, parseKeyLifetime } =
    await import("../../../server/auth/duration.js");
  const lifetimeS =
    opts.expire === undefined ? DEFAULT_KEY_LIFETIME_S : parseKeyLifetime(opts.expire);
  const { keyFile } = serverConfig(given({ keyFile: opts.keyFile }), ctx.env);
  const serverKey = await ServerKey.open(paths, { keyFile: keyFile ?? undefined });
  if (serverKey.notice !== null) ctx.stderr.write(`msb-ts: warning: ${serverKey.notice}\n`);
  const { key, keyId, namespace, expiresAt } = await issueApiKey(serverKey, {
    namespace: opts.namespace ?? "*",
    lifetimeS,
    now: new Date(ctx.now()),
  });
  const expires = rfc3339(expiresAt);
  if (opts.json) return printJson(ctx, { token: key, expiresAt: expires, namespace, id: keyId });
  printLine(ctx, `Token: ${key}`);
  printLine(ctx, `Expires: ${expires}`);
  printLine(ctx, `Namespace: ${namespace}`);
  printLine(ctx, `Id: ${keyId}`);
}

async function revokeOne(
  ctx: CliContext,
  opts: KeygenOpts,
  paths: MsbPaths,
  key: string,
): Promise<void> {
  const { revokeKey } = await import("../../../server/auth/revocations.js");
  const { keyId, expiresAt } = await revokeKey(paths, key);
  if (opts.json) printJson(ctx, { id: keyId, expiresAt: rfc3339(expiresAt) });
  else printLine(ctx, `Revoked ${keyId}`);
}

async function listAll(ctx: CliContext, opts: KeygenOpts, paths: MsbPaths): Promise<void> {
  const { listRevoked } = await import("../../../server/auth/revocations.js");
  const revoked = (await listRevoked(paths)).map(({ keyId, expiresAt }) => ({
    id: keyId,
    expiresAt: rfc3339(expiresAt),
  }));
  if (opts.json) return printJson(ctx, revoked);
  printTable(
    ctx,
    ["ID", "WOULD HAVE EXPIRED"],
    revoked.map(({ id, expiresAt }) => [id, expiresAt]),
  );
}

/** To the second, as a key's lifetime is. */
function rfc3339(date: Date): string {
  return date.toISOString().replace(/\.\d{3}Z$/, "Z");
}
