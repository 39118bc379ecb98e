import { describe, expect, test } from "vitest";
import {
  compressionOf,
  layersOf,
  MAX_DOCUMENT_BYTES,
  MediaType,
  parseImageConfig,
  parseManifestDocument,
} from "../../../src/oci/manifest.js";

const digest = `sha256:${"a".repeat(64)}`;
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const descriptor = (mediaType: string) => ({ mediaType, digest, size: 1 });
const manifest = {
  schemaVersion: 2,
  mediaType: MediaType.ociManifest,
  config: descriptor(MediaType.ociConfig),
  layers: [descriptor(MediaType.ociLayerGzip)],
};
const index = { schemaVersion: 2, manifests: [descriptor(MediaType.ociManifest)] };
const config = {
  architecture: "amd64",
  os: "linux",
  rootfs: { type: "layers", diff_ids: [digest] },
};

describe("a document", () => {
  test("is told by its fields, its own media type, or the sender's", () => {
    expect(parseManifestDocument(json(manifest))).toMatchObject({
      kind: "manifest",
      mediaType: MediaType.ociManifest,
      manifest: { layers: [{ digest }] },
    });
    expect(parseManifestDocument(json(index))).toMatchObject({ kind: "index" });
    const { mediaType: _, ...untyped } = manifest;
    expect(parseManifestDocument(json(untyped), MediaType.dockerManifest)).toMatchObject({
      mediaType: MediaType.dockerManifest,
    });
  });

  test("loses fields that nobody knows, and takes null for what Go leaves empty", () => {
    const parsed = parseManifestDocument(json({ ...manifest, annotations: null, odd: 1 }));
    expect(parsed).toMatchObject({ manifest: { annotations: null } });
    expect(parsed.kind === "manifest" && "odd" in parsed.manifest).toBe(false);
  });

  test.each<[string, unknown, string?]>([
    ["no JSON", Buffer.from("{")],
    ["no UTF-8", Buffer.from([0x22, 0xff, 0x22])],
    ["no object", []],
    ["an index and a manifest at once", { ...manifest, manifests: [] }],
    ["a manifest that calls itself an index", { ...manifest, mediaType: MediaType.ociIndex }],
    ["an index that the sender calls a manifest", index, MediaType.ociManifest],
    ["schema 1", { schemaVersion: 1, fsLayers: [] }],
    ["a negative size", { ...manifest, config: { ...manifest.config, size: -1 } }],
    ["a digest that climbs", { ...manifest, config: { ...manifest.config, digest: "sha256:.." } }],
    ["too many layers", { ...manifest, layers: Array(513).fill(manifest.layers[0]) }],
  ])("that is %s is refused", (_, value, mediaType) => {
    const bytes = Buffer.isBuffer(value) ? value : json(value);
    expect(() => parseManifestDocument(bytes, mediaType)).toThrow(
      expect.objectContaining({ code: "MSB_ERR_IMAGE_INVALID" }),
    );
  });

  test("larger than any honest one is not parsed", () => {
    expect(() => parseManifestDocument(Buffer.alloc(MAX_DOCUMENT_BYTES + 1, " "))).toThrow(
      /the limit is/,
    );
  });
});

describe("a config", () => {
  test("gives every layer its diff id", () => {
    const parsed = parseManifestDocument(json(manifest));
    const layers =
      parsed.kind === "manifest" ? layersOf(parsed.manifest, parseImageConfig(json(config))) : [];
    expect(layers).toEqual([{ descriptor: manifest.layers[0], diffId: digest }]);
  });

  test("with more or fewer diff ids than layers is refused", () => {
    const rootfs = { type: "layers", diff_ids: [] };
    const parsed = parseManifestDocument(json(manifest));
    const layers = () =>
      parsed.kind === "manifest" &&
      layersOf(parsed.manifest, parseImageConfig(json({ ...config, rootfs })));
    expect(layers).toThrow(/names 0 layers and the manifest 1/);
  });

  test("that is broken is refused", () => {
    expect(() => parseImageConfig(json({ os: "linux" }))).toThrow(/at \/architecture/);
    expect(() => parseImageConfig(json({ ...config, config: { Env: "A=1" } }))).toThrow(
      /at \/config/,
    );
  });
});

test("the types of layers are known, and artifacts are none", () => {
  expect(compressionOf(MediaType.dockerLayerGzip)).toBe("gzip");
  expect(compressionOf(MediaType.ociLayerZstd)).toBe("zstd");
  expect(compressionOf(MediaType.ociLayer)).toBe("none");
  expect(() => compressionOf("application/vnd.cncf.helm.chart.content.v1.tar+gzip")).toThrow(
    /artifact/,
  );
});
