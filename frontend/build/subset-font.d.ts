declare module "subset-font" {
  interface Options {
    readonly targetFormat: "woff2";
    readonly variationAxes: Readonly<Record<string, Readonly<{ min: number; max: number }>>>;
    readonly keepFeatures: readonly string[];
  }
  /** The font with only the glyphs that a text needs. Rejects what is not a font. */
  export default function subsetFont(font: Buffer, text: string, options: Options): Promise<Buffer>;
}
