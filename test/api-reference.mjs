/** The HTTP API as a page of Markdown, made of the server's own OpenAPI document. */

const GROUPS = {
  sandboxes: "Sandboxes",
  code: "Code",
  commands: "Commands",
  logs: "Logs",
  images: "Images",
  server: "The server",
  rpc: "JSON-RPC",
  mcp: "MCP",
};
/** Objects with fewer members are written out each time. */
const MIN_SHARED_MEMBERS = 5;

/** The page `docs/api.md`. */
export function apiReference({ paths }) {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      ...operation,
      title: `${method.toUpperCase()} ${path}`,
    })),
  );
  const shapes = new Shapes();
  const groups = Object.entries(GROUPS).flatMap(([tag, title]) => [
    `## ${title}`,
    ...operations.filter(({ tags }) => tags[0] === tag).map((one) => section(one, shapes)),
  ]);
  return [
    "# The HTTP API",
    "<!-- Written by `npm run docs` from the schemas in src/api and src/server. -->",
    "The server describes itself at `/api/v1/openapi.json` (OpenAPI 3.1); this page is that document. What code gives: " +
      "[code.md](code.md); keys, limits and what answers 429: [server.md](server.md).",
    "Requests and answers are JSON. Every request but `GET /api/v1/health` needs `Authorization: Bearer msb_…`, unless the " +
      "server is in development mode; a key for one namespace sees that namespace alone, and needs to be for all of them to read " +
      "`/metrics` and to download or remove images. Each answer has its id in " +
      "`X-Request-Id`, which is the request's own if that had one. A member that is not known is an error in a request; in " +
      "answers members may be added.",
    "Query parameters that are lists are repeated: `?state=running&state=failed`.",
    "## Errors",
    "All but `/api/v1/rpc` and `/mcp` fail with this body. What the codes mean is in the " +
      "[README](../README.md#troubleshooting).",
    shapes.members(errorBody(operations)),
    ...groups,
    "",
  ].join("\n\n");
}

function errorBody(operations) {
  const { responses } = operations.find((operation) => operation.responses["4XX"] !== undefined);
  return Object.values(responses["4XX"].content)[0].schema;
}

function section(operation, shapes) {
  const { title, summary, description, parameters = [], requestBody, responses } = operation;
  shapes.enter(title);
  return [
    `### ${title}`,
    `${summary}.${description === undefined ? "" : ` ${description}`}`,
    ...parametersTable(parameters, shapes),
    ...Object.values(requestBody?.content ?? {}).map(
      ({ schema }) => `Body:\n\n${shapes.members(schema, { isRequest: true })}`,
    ),
    ...Object.entries(responses)
      .filter(([status]) => !/^[45]XX$/.test(status))
      .flatMap(([status, response]) => answers(status, response, shapes)),
  ].join("\n\n");
}

/** What a path is made of is plain to see, unless something is said about it. */
function parametersTable(parameters, shapes) {
  const rows = parameters
    .filter((parameter) => parameter.in !== "path" || parameter.description !== undefined)
    .map(({ name, schema, description = "" }) => [code(name), shapes.type(schema), description]);
  return rows.length === 0 ? [] : [table(["parameter", "type", "meaning"], rows)];
}

function answers(status, { content, description }, shapes) {
  const name = status === "default" ? "Failure" : `Answer ${status}`;
  const said = description === "Default Response" ? "" : `: ${lowerFirst(description)}`;
  if (content === undefined || content["application/json"]?.schema.type === "null") {
    return [`${name}, without a body.`];
  }
  return Object.entries(content).map(
    ([type, { schema }]) =>
      `${name}, ${code(type)}${said}${shapes.isPlain(schema) ? "." : `:\n\n${shapes.members(schema)}`}`,
  );
}

/** Schemas as text. An object that was written out before is a link to where that was. */
class Shapes {
  #seen = new Map();
  #title = "";

  enter(title) {
    this.#title = title;
  }

  isPlain(schema) {
    return schema.type === "string" && schema.description === undefined;
  }

  /** Tables of the members, one for each form that there is. */
  members(schema, opts = {}) {
    const known = this.#known(schema);
    if (known !== undefined) return `${upperFirst(known)}.`;
    const forms = withoutNull(schema);
    if (forms.length > 1) {
      const tables = forms.map((form) => this.members(form, opts));
      return ["One of:", ...tables].join("\n\n");
    }
    const [form] = forms;
    if (form.type === "array") return `A list. Each:\n\n${this.members(form.items, opts)}`;
    if (form.properties === undefined) return `${upperFirst(this.type(form))}.`;
    const head = opts.isRequest
      ? ["member", "type", "required", "meaning"]
      : ["member", "type", "meaning"];
    const rows = this.#rows(form, "", opts);
    const note = forms.length < optionsOf(schema).length ? "\n\nMay be absent or null." : "";
    return table(head, rows) + note;
  }

  type(schema) {
    const fallback =
      schema.default === undefined ? "" : `, default ${code(String(schema.default))}`;
    return this.#forms(schema) + fallback;
  }

  #forms(schema) {
    const forms = withoutNull(schema);
    const orNull = forms.length < optionsOf(schema).length ? " or null" : "";
    if (forms.every(({ enum: values }) => values?.length === 1)) {
      return forms.map(({ enum: [value] }) => code(JSON.stringify(value))).join(", ") + orNull;
    }
    return forms.map((form) => this.#one(form)).join(", or ") + orNull;
  }

  #one(schema) {
    const { type, items, additionalProperties, properties, minimum, maximum } = schema;
    if (type === "array") return `list of ${this.type(items)}`;
    if (type === "integer" || type === "number") return `${type}${range(minimum, maximum)}`;
    if (type === "object" && properties === undefined && typeof additionalProperties === "object") {
      return `object, each member ${this.type(additionalProperties)}`;
    }
    return type ?? "anything";
  }

  #rows(schema, prefix, opts) {
    const { properties, required = [] } = schema;
    return Object.entries(properties).flatMap(([name, member]) => {
      const isRequired = required.includes(name);
      const known = this.#known(inner(member));
      const mayLack = isRequired || opts.isRequest ? "" : ", may be absent";
      const row = [
        code(`${prefix}${name}`),
        this.type(member) + mayLack,
        ...(opts.isRequest ? [isRequired ? "yes" : ""] : []),
        [member.description ?? withoutNull(member)[0].description ?? "", known ?? ""]
          .filter((text) => text !== "")
          .join(". "),
      ];
      const nested = inner(member);
      if (known !== undefined || nested.properties === undefined) return [row];
      const brackets = withoutNull(member)[0].type === "array" ? "[]" : "";
      return [row, ...this.#rows(nested, `${prefix}${name}${brackets}.`, opts)];
    });
  }

  /** Where the object was written out, in words; what is new is noted. */
  #known(schema) {
    if (Object.keys(schema.properties ?? {}).length < MIN_SHARED_MEMBERS) return undefined;
    const key = JSON.stringify(schema);
    const title = this.#seen.get(key);
    if (title === undefined) this.#seen.set(key, this.#title);
    return title === undefined ? undefined : `as at [${title}](#${anchor(title)})`;
  }
}

function optionsOf(schema) {
  return schema.anyOf ?? [schema];
}

function withoutNull(schema) {
  return optionsOf(schema).filter(({ type }) => type !== "null");
}

/** The object in a list or beside null. */
function inner(schema) {
  const [first, ...more] = withoutNull(schema);
  if (more.length > 0) return schema;
  return first.type === "array" ? inner(first.items) : first;
}

function range(minimum, maximum) {
  if (minimum === undefined && maximum === undefined) return "";
  return maximum === undefined ? `, at least ${minimum}` : `, ${minimum} to ${maximum}`;
}

/** As GitHub makes it of a heading. */
function anchor(title) {
  return title
    .toLowerCase()
    .replaceAll(/[^a-z0-9 _-]/g, "")
    .replaceAll(" ", "-");
}

function lowerFirst(text) {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function upperFirst(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function table(head, rows) {
  const line = (cells) =>
    `| ${cells.map((cell) => cell.replaceAll("|", String.raw`\|`)).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function code(text) {
  return `\`${text}\``;
}
