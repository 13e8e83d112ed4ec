/** Forms of fields and files, for clients that take a body of bytes. */
import type { InputFile } from '../generation/provider.ts'
import { encodeForm, type EncodedForm } from './encode-form.ts'

/** A field or a file of a form, in order; a name may come twice. */
export type FormPart = [name: string, value: string | number | InputFile]

export async function toMultipart(parts: readonly FormPart[]): Promise<EncodedForm> {
  const form = new FormData()
  for (const [index, [name, value]] of parts.entries()) {
    if (typeof value !== 'object') form.append(name, String(value))
    // A copy, since a Blob takes no view of memory that may be shared; pictures to work on are small.
    else form.append(name, new Blob([Uint8Array.from(value.bytes)], { type: value.mediaType }), `${index}.${extensionOf(value.mediaType)}`)
  }
  return await encodeForm(form)
}

/** Some servers judge a file by its name. */
const extensionOf = (mediaType: string): string => (mediaType === 'image/jpeg' ? 'jpg' : mediaType.slice(mediaType.indexOf('/') + 1))
