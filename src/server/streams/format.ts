/** The two forms of a stream: events (SSE, as browsers read them) and one JSON document a line. */

export const SSE_TYPE = "text/event-stream";
export const NDJSON_TYPE = "application/x-ndjson";

/** One record of a stream; its type names the event in SSE. */
export interface StreamRecord {
  readonly event: string;
  /** From where a client that lost the connection goes on; SSE only. */
  readonly id?: number;
  readonly data: unknown;
}

export type StreamFormat = "sse" | "ndjson";

export function contentType(format: StreamFormat): string {
  return format === "sse" ? `${SSE_TYPE}; charset=utf-8` : `${NDJSON_TYPE}; charset=utf-8`;
}

export function formatRecord(format: StreamFormat, { event, id, data }: StreamRecord): string {
  const json = JSON.stringify(data);
  if (format === "ndjson") return `${json}\n`;
  return `${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${json}\n\n`;
}

/** What is sent while there is nothing to say. Lines of JSON have nothing that means nothing. */
export function formatIdle(format: StreamFormat): string {
  return format === "sse" ? ":\n\n" : "";
}

/** True when the header `Accept` names the type, whatever else it names. */
export function accepts(header: string | undefined, type: string): boolean {
  return (header ?? "").split(",").some((range) => {
    const [name = "", ...params] = range.split(";").map((part) => part.trim().toLowerCase());
    return name === type && !params.some((param) => /^q=0(?:\.0*)?$/.test(param));
  });
}

/** The form of a stream that is asked for; null when none is. Of both, browsers can only read events. */
export function streamFormat(accept: string | undefined): StreamFormat | null {
  if (accepts(accept, SSE_TYPE)) return "sse";
  return accepts(accept, NDJSON_TYPE) ? "ndjson" : null;
}
