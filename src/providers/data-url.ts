/** A file as part of a JSON body. */
export const toDataUrl = ({ bytes, mediaType }: { bytes: Uint8Array; mediaType: string }): string =>
  `data:${mediaType};base64,${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')}`
