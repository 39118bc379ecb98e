/**
 * A recipe: `recipe.json` in a folder of its own, which says of which Debian packages an image is made and how it
 * is run. images/README.md describes it for those who write one.
 */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { readFile, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { MsbError } from "../../errors.js";
import { printable } from "../../util/printable.js";

export const RECIPE_FILE = "recipe.json";
const RECIPE_VERSION = 1;
const MAX_RECIPE_BYTES = 256 * 1024;

/** The recipes that come with the package; src/oci/recipe and dist/oci/recipe are equally deep. */
const BUILT_IN_FOLDER = join(dirname(fileURLToPath(import.meta.url)), "../../../images");
export const BUILT_IN_RECIPES = ["base", "python", "node"] as const;

const closed = { additionalProperties: false };
/** No line breaks and no other control characters: these texts become arguments and lines of files. */
const Line = Type.String({ maxLength: 4096, pattern: "^[^\\x00-\\x1f\\x7f]*$" });
const Lines = Type.Array(Line, { maxItems: 1000 });
/** Absolute and in its shortest form. */
const AbsolutePath = Type.String({
  maxLength: 1024,
  pattern: "^(/(?!\\.{1,2}(/|$))[^/\\x00-\\x1f\\x7f]+)+$",
});
/**
 * Of shell patterns; `rm` gets them. At least two parts, the first one literal: `/proc` and `/sys` are the
 * building host's while packages are installed.
 */
const RemovePattern = Type.String({
  maxLength: 1024,
  pattern: "^/(?!(?:proc|sys|dev|run)/)[A-Za-z0-9_.+-]+(/(?!\\.{1,2}(/|$))[^/\\x00-\\x1f\\x7f]+)+$",
});
/** Of dpkg's `path-exclude` (dpkg(1)): `*` matches `/`, too. */
const ExcludePattern = Type.String({ maxLength: 1024, pattern: "^/[^\\x00-\\x1f\\x7f]+$" });

const RecipeSchema = Type.Object(
  {
    schemaVersion: Type.Literal(RECIPE_VERSION),
    name: Type.String({ pattern: "^[a-z0-9]+([._/-][a-z0-9]+)*$", maxLength: 200 }),
    description: Line,
    /** Debian's name of the release. */
    suite: Type.String({ pattern: "^[a-z][a-z0-9-]*$", maxLength: 64 }),
    /** The packages to begin with, in mmdebstrap's words. */
    variant: Type.Union(
      (["essential", "apt", "required", "minbase", "important", "standard"] as const).map((name) =>
        Type.Literal(name),
      ),
    ),
    /** Debian policy 5.6.1, with `:architecture` or `=version` if wanted. */
    packages: Type.Array(
      Type.String({ pattern: "^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?$" }),
      { maxItems: 2000 },
    ),
    /** No file is younger: what the build itself makes gets this time (SOURCE_DATE_EPOCH). */
    created: Type.String({ pattern: "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}Z$" }),
    config: Type.Object(
      {
        Env: Type.Optional(Lines),
        Entrypoint: Type.Optional(Lines),
        Cmd: Type.Optional(Lines),
        WorkingDir: Type.Optional(AbsolutePath),
        User: Type.Optional(Line),
        Labels: Type.Optional(Type.Record(Type.String(), Line)),
        ExposedPorts: Type.Optional(Type.Record(Type.String(), Type.Object({}, closed))),
        StopSignal: Type.Optional(Line),
      },
      closed,
    ),
    /** Files of the recipe's folder, put into the image for root:root. */
    files: Type.Array(
      Type.Object(
        {
          /** Below the folder. */
          source: Type.String({
            maxLength: 1024,
            pattern:
              "^(?!\\.{1,2}(/|$))[^/\\x00-\\x1f\\x7f]+(/(?!\\.{1,2}(/|$))[^/\\x00-\\x1f\\x7f]+)*$",
          }),
          path: AbsolutePath,
          /** Octal. */
          mode: Type.String({ pattern: "^0[0-7]{3}$" }),
        },
        closed,
      ),
      { maxItems: 1000 },
    ),
    /** Never unpacked, now or by a later `apt-get install` in the image. */
    exclude: Type.Array(ExcludePattern, { maxItems: 1000 }),
    /** Exceptions to `exclude`. */
    include: Type.Array(ExcludePattern, { maxItems: 1000 }),
    /** What programs would else make at their first use, made when all packages are installed. */
    caches: Type.Optional(Type.Array(Type.Literal("matplotlib-fonts"), { maxItems: 1 })),
    /** Removed when all packages are installed. */
    remove: Type.Array(RemovePattern, { maxItems: 1000 }),
  },
  closed,
);

export type Recipe = Static<typeof RecipeSchema>;

/** The folder of a recipe: one of those that come with the package by its name, else a path. */
export function recipeFolder(nameOrFolder: string): string {
  const builtIn = BUILT_IN_RECIPES.find((name) => name === nameOrFolder);
  return builtIn === undefined ? resolve(nameOrFolder) : join(BUILT_IN_FOLDER, builtIn);
}

/** Throws MSB_ERR_INVALID_ARGUMENT, which names the field. */
export async function readRecipe(folder: string): Promise<Recipe> {
  const path = join(folder, RECIPE_FILE);
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > MAX_RECIPE_BYTES) throw new Error(`it has more than ${MAX_RECIPE_BYTES} bytes`);
    text = await readFile(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw invalid(path, code === "ENOENT" ? "it is not there" : (error as Error).message, error);
  }
  return parseRecipe(text, path);
}

/** `path` is for the message. Throws MSB_ERR_INVALID_ARGUMENT. */
export function parseRecipe(text: string, path: string): Recipe {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw invalid(path, `it is not JSON: ${(error as Error).message}`, error);
  }
  const wrong = Value.Errors(RecipeSchema, json).First();
  if (wrong !== undefined) {
    const expected = (wrong.schema as { pattern?: string }).pattern;
    const rule = expected === undefined ? wrong.message : `${wrong.message} (${expected})`;
    throw invalid(path, `at ${wrong.path || "/"}: ${rule}`);
  }
  const recipe = json as Recipe;
  if (Number.isNaN(Date.parse(recipe.created))) {
    throw invalid(path, `at /created: ${recipe.created} is not a date`);
  }
  return recipe;
}

function invalid(path: string, why: string, cause?: unknown): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `The recipe ${printable(path)} cannot be used: ${printable(why.slice(0, 500))}. ` +
      `Name one of ${BUILT_IN_RECIPES.join(", ")} or a folder with a ${RECIPE_FILE}; ` +
      "images/README.md describes its fields.",
    { cause, details: { path } },
  );
}
