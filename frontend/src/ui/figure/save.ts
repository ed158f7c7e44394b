// Saves a part of the page as a picture.
import { saveFile } from "../saveFile";
import { type Caption, type Picture, pictureOf } from "./picture";

export type Format = "svg" | "png";

/** Pixels of the PNG for each pixel of the page, so that it stays sharp in print. */
const SCALE = 2;

/** "Acceptance by position" becomes acceptance-by-position. */
export const fileName = (title: string): string =>
  title
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "") || "figure";

async function pngOf({ svg, width, height }: Picture): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = width * SCALE;
  canvas.height = height * SCALE;
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error("The picture is too large."))),
      "image/png",
    );
  });
}

export async function saveFigure(node: HTMLElement, caption: Caption, format: Format): Promise<void> {
  const picture = await pictureOf(node, caption);
  const content =
    format === "svg" ? new Blob([picture.svg], { type: "image/svg+xml" }) : await pngOf(picture);
  saveFile(`${fileName(caption.title)}.${format}`, content);
}
