/** How a picture reaches Runway: inside the request while it is small, else through its upload endpoint, which is free. */
import type RunwayML from '@runwayml/sdk'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { InputFile } from '../generation/provider.ts'
import { FROM_BETWEEN, retryAfterOf } from './call-failures.ts'
import { encodeForm } from './encode-form.ts'
import { toRunwayError } from './runway-errors.ts'
import { SDK_TIMEOUT_MS } from './runway-tasks.ts'
import { trustedOriginOf } from './trusted-origin.ts'

const PROVIDER = 'runway'
/** A data URI may have 5 MB, which are about 3.3 MB of a file. */
const MAX_INLINE_BYTES = 3_300_000
const EXTENSIONS: Record<string, string> = { 'image/jpeg': 'jpg', 'image/png': 'png', 'image/webp': 'webp' }

export interface Uploader {
  /** The file as a URI that a request may hold. */
  toUri(file: InputFile, signal: AbortSignal): Promise<string>
}

/** @param options.trustedOrigin of a configured base URL: uploads may go there although it is not public https. */
export function createUploader(client: RunwayML, options: { fetch: typeof fetch; trustedOrigin: string | undefined }): Uploader {
  // The SDK's own upload ignores the caller's signal, and knows no form but the global fetch's.
  async function upload(file: InputFile, signal: AbortSignal): Promise<string> {
    const filename = `input.${EXTENSIONS[file.mediaType] ?? 'bin'}`
    const slot = slotSchema.safeParse(await client.post<unknown>('/v1/uploads', { body: { filename, type: 'ephemeral' }, signal, timeout: SDK_TIMEOUT_MS }))
    if (!slot.success || !isUploadAddress(slot.data.uploadUrl, options.trustedOrigin)) throw failed({ cause: slot.error })
    const form = new FormData()
    for (const [name, value] of Object.entries(slot.data.fields)) form.append(name, value)
    // Last, as object stores want it: they ignore what follows the file.
    form.append('file', new Blob([Buffer.from(file.bytes)], { type: file.mediaType }), filename)
    const { headers, body } = await encodeForm(form)
    const response = await options.fetch(slot.data.uploadUrl, { method: 'POST', headers, body, redirect: 'error', signal })
    await response.body?.cancel()
    if (!response.ok) throw failed({ statusCode: response.status, retryAfterSeconds: retryAfterOf(response.headers) })
    return slot.data.runwayUri
  }

  return {
    async toUri(file, signal) {
      if (file.bytes.byteLength <= MAX_INLINE_BYTES) return `data:${file.mediaType};base64,${Buffer.from(file.bytes.buffer, file.bytes.byteOffset, file.bytes.byteLength).toString('base64')}`
      try {
        return await upload(file, signal)
      } catch (error) {
        throw toRunwayError(error, 'free')
      }
    },
  }
}

function failed(details: { statusCode?: number; retryAfterSeconds?: number | undefined; cause?: unknown }): ProviderError {
  const { statusCode } = details
  const isRetryable = statusCode !== undefined && (statusCode >= 500 || statusCode === 429 || FROM_BETWEEN.has(statusCode))
  return new ProviderError('provider_failed', 'The picture could not be handed to the provider.', { provider: PROVIDER, charged: 'no', isRetryable, ...details })
}

/** The user's picture goes to no address that an answer made up: public https, or the origin that the operator named. */
function isUploadAddress(url: string, trustedOrigin: string | undefined): boolean {
  if (!URL.canParse(url)) return false
  const { origin, protocol } = new URL(url)
  return origin === trustedOrigin || (protocol === 'https:' && trustedOriginOf(url) === undefined)
}

const slotSchema = z.object({ uploadUrl: z.string(), fields: z.record(z.string(), z.string()), runwayUri: z.string().startsWith('runway://') })
