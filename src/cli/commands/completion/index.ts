/** `msb-ts completion`. */
import { Argument } from "commander";
import { CliCommand, type JsonOpts } from "../../command.js";
import type { CliContext } from "../../context.js";
import { printJson } from "../../output.js";
import { bashCompletion } from "./bash.js";
import { fishCompletion } from "./fish.js";
import { completionNodes } from "./tree.js";
import { zshCompletion } from "./zsh.js";

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;
type Shell = keyof typeof SHELLS;

/** Of all commands that `program` has when it is called. */
export function completionCommand(ctx: CliContext, program: CliCommand): CliCommand {
  return new CliCommand("completion")
    .summary("a script that lets a shell complete commands and options")
    .description(
      "Print a script that lets a shell complete commands, options and their values at the tab key. It needs no " +
        "msb-ts while it works, so print it again after an update, or load it each time a shell starts.",
    )
    .addArgument(new Argument("<shell>", "which shell").choices(Object.keys(SHELLS)))
    .jsonOption()
    .example("For bash, in ~/.bashrc", "source <(msb-ts completion bash)")
    .example("For zsh, in ~/.zshrc behind compinit", "source <(msb-ts completion zsh)")
    .example("For fish, once", "msb-ts completion fish > ~/.config/fish/completions/msb-ts.fish")
    .action((shell: Shell, opts: JsonOpts) => {
      const script = SHELLS[shell](completionNodes(program));
      if (opts.json) printJson(ctx, { shell, script });
      else ctx.stdout.write(script);
    });
}
