/** The text that is stored as gzip in base64; null if it is damaged. */
export async function unpacked(base64: string): Promise<string | null> {
  try {
    const bytes = Uint8Array.from(atob(base64.trim()), (letter) => letter.charCodeAt(0));
    return await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  } catch {
    return null;
  }
}
