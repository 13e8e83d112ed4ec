/** Requests as the core hands them to a provider, and what comes of them, for the tests of providers. */
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import sharp from 'sharp'
import { ProviderError } from '../../src/errors.ts'
import type { ImageRequest, InputFile, VideoRequest } from '../../src/generation/provider.ts'

export const signal = new AbortController().signal
export const call = { signal, mark: {} }

export const videoRequest = (more: Partial<VideoRequest> = {}): VideoRequest => ({ prompt: 'Leaves moving', duration: 5, aspectRatio: '16:9', resolution: '720p', providerOptions: {}, ...more })
export const imageRequest = (more: Partial<ImageRequest> = {}): ImageRequest => ({ task: 'generate', prompt: 'A cat', size: { width: 1024, height: 1024 }, images: [], providerOptions: {}, ...more })

/** A small JPEG. */
export async function picture(color: string): Promise<InputFile> {
  return { bytes: await sharp({ create: { width: 64, height: 64, channels: 3, background: color } }).jpeg().toBuffer(), mediaType: 'image/jpeg' }
}

/** The provider's error that a call ends with; the test fails when it ends well. */
export async function failureOf(promise: Promise<unknown>): Promise<ProviderError> {
  const error: unknown = await promise.then(() => assert.fail('it did not fail'), (reason: unknown) => reason)
  assert.ok(error instanceof ProviderError, inspect(error))
  return error
}

/** What decides about what is done next. */
export const told = ({ code, charged, isRetryable, statusCode }: ProviderError) => [code, charged, isRetryable, statusCode]
