/** `document` is what `/api/v1/openapi.json` answers. */
export function apiReference(document: unknown): string;
