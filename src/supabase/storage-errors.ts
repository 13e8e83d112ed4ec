/** Failures of Supabase Storage in our words. */
import { AppError } from '../errors.ts'

/** Storage answers HTTP 400 for nearly everything; the true word is in `code`, or in `statusCode` as text. */
export function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  const { code, statusCode, status } = error as { code?: unknown; statusCode?: string; status?: number }
  if (typeof code === 'string' && code !== '') return CODES[code] ?? code
  return String(statusCode ?? status ?? '')
}

const CODES: Record<string, string> = {
  KeyAlreadyExists: '409',
  ResourceAlreadyExists: '409',
  NoSuchBucket: '404',
  NoSuchKey: '404',
  EntityTooLarge: '413',
  AccessDenied: '403',
  InvalidMimeType: '415',
}

export const isMissing = (error: unknown): boolean => codeOf(error) === '404' || /bucket not found/i.test(String((error as Error).message))

export function toStorageError(cause: unknown): AppError {
  const code = codeOf(cause)
  if (code === '413') return new AppError('output_too_large', 'The file is larger than the storage of this project allows.', { cause })
  if (code === '402') return new AppError('storage_unavailable', "The project's storage is over its quota.", { cause, retryAfterSeconds: 60 })
  return new AppError('storage_unavailable', 'The storage cannot be reached right now.', { cause, retryAfterSeconds: 5 })
}

export const wrongLength = () => new AppError('output_unavailable', "The provider's file has another length than it was said to have.")

/** An answer that is no success, as an error with what `codeOf` looks at. Its text is Storage's own: for the log. */
export class StorageAnswerError extends Error {
  readonly statusCode: string
  readonly code: string | undefined

  /** @param text JSON from most routes, plain text with a true status from the resumable ones. */
  constructor(status: number, text: string) {
    const body = parseObject(text)
    super(`Storage answered with status ${status}: ${text.slice(0, 300)}`)
    this.name = 'StorageAnswerError'
    this.statusCode = typeof body.statusCode === 'string' ? body.statusCode : String(status)
    this.code = typeof body.code === 'string' ? body.code : undefined
  }
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text)
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
