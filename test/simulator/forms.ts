/** What a multipart body holds, read by the platform's own parser. */
export interface ReceivedForm {
  /** Text fields; one that comes twice is a mistake of the sender's and shows as both, with a comma between. */
  fields: Record<string, string>
  files: ReceivedFile[]
}

export interface ReceivedFile {
  name: string
  filename: string
  mediaType: string
  bytes: Buffer
}

/** @returns undefined for a body that is no such form. */
export async function parseForm(contentType: string | undefined, body: Buffer): Promise<ReceivedForm | undefined> {
  if (!contentType?.startsWith('multipart/form-data; boundary=')) return undefined
  const form = await new Response(Uint8Array.from(body), { headers: { 'content-type': contentType } }).formData().catch(() => undefined)
  if (!form) return undefined
  const received: ReceivedForm = { fields: {}, files: [] }
  for (const [name, value] of form.entries()) {
    if (typeof value !== 'string') received.files.push({ name, filename: value.name, mediaType: value.type, bytes: Buffer.from(await value.arrayBuffer()) })
    else received.fields[name] = name in received.fields ? `${received.fields[name]},${value}` : value
  }
  return received
}
