/** Google's Files API: pictures too large to go along with a request, and finished videos that wait there for 48 hours. */
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { InputFile, Output } from '../generation/provider.ts'
import type { GoogleClient } from './google-client.ts'
import { toUnreadableError } from './google-errors.ts'

/** @returns the address by which a request names the file. */
export async function uploadFile(client: GoogleClient, file: InputFile, signal: AbortSignal): Promise<string> {
  const parsed = uploadedSchema.safeParse(await client.upload(file, signal))
  if (!parsed.success) throw toUnreadableError(parsed.error, 'free')
  return parsed.data.file.uri
}

/** Looks whether the file behind a link from the vendor can be fetched. */
export async function findFile(client: GoogleClient, uri: string, signal: AbortSignal): Promise<Output | 'processing' | 'failed'> {
  const output = { type: 'url', url: uri } as const
  const path = client.isOwn(uri) ? /\/files\/([\w-]{1,100})(:download)?$/.exec(new URL(uri).pathname) : null
  // Signed links of another host need neither a look nor the key.
  if (!path) return output
  // Asked of our own address, whatever the link says.
  const file = await client.call('GET', `/files/${path[1]}`, { kind: 'free', signal }).catch(orUnseen)
  if (file === undefined) return output
  const parsed = fileSchema.safeParse(file)
  if (!parsed.success) throw toUnreadableError(parsed.error, 'free')
  if (parsed.data.state === 'PROCESSING') return 'processing'
  return parsed.data.state === 'FAILED' ? 'failed' : output
}

/** Gone, or not to be asked about: the download tells which. */
function orUnseen(error: unknown): undefined {
  if (!(error instanceof ProviderError && (error.statusCode === 403 || error.statusCode === 404))) throw error
}

const fileSchema = z.object({ state: z.string().nullish() })
const uploadedSchema = z.object({ file: z.object({ uri: z.string().min(1) }) })
