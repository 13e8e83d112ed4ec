/** Inputs of Replicate: small ones travel inside the request, large ones are uploaded first, which costs nothing. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { InputFile } from '../generation/provider.ts'
import { requestIdOf, toUploadError } from './replicate-errors.ts'
import { toDataUrl } from './data-url.ts'
import type { VendorCall } from './vendor-call.ts'

/** The vendor's word for what should not travel as a data URL any more, taken for the whole of it. */
const MAX_DATA_URL_CHARACTERS = 256 * 1024

export type SendFile = (file: InputFile, signal: AbortSignal) => Promise<string>

/** @param root the base address without a slash at its end. @returns what stands for a file in an input. */
export function createFileSender(call: VendorCall, root: string): SendFile {
  return async (file, signal) => {
    const inside = toDataUrl(file)
    if (inside.length <= MAX_DATA_URL_CHARACTERS) return inside
    const boundary = `darkroom-${randomUUID()}`
    const answer = await call('POST', `${root}/files`, { body: toMultipart(file, boundary), headers: { 'content-type': `multipart/form-data; boundary=${boundary}` }, signal })
    if (answer.status < 200 || answer.status > 299) throw toUploadError(answer)
    const parsed = uploadedSchema.safeParse(answer.body)
    if (!parsed.success) throw new ProviderError('provider_failed', 'The provider answered in a form that this service does not understand.', { provider: 'replicate', charged: 'no', isRetryable: true, statusCode: answer.status, providerRequestId: requestIdOf(answer.headers) })
    return parsed.data.urls.get
  }
}

/** Written by hand, since the forms of Node's fetch and of undici's do not know each other. */
function toMultipart({ bytes, mediaType }: InputFile, boundary: string): Buffer {
  const extension = mediaType.split('/')[1]
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="content"; filename="input.${extension}"\r\ncontent-type: ${mediaType}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)])
}

const uploadedSchema = z.object({ urls: z.object({ get: z.url({ protocol: /^https?$/ }) }) })
