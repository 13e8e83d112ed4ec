/** What the tests of a gateway share: one to ask, requests to ask with, and failures to look at. */
import assert from 'node:assert/strict'
import { ProviderError } from '../../src/errors.ts'
import type { ImageRequest, InputFile, Provider, VideoRequest } from '../../src/generation/provider.ts'
import { createGateway } from '../../src/providers/gateway.ts'
import { startGatewaySimulator, type GatewaySimulator } from '../simulator/gateway.ts'
import { picture } from '../simulator/pictures.ts'

export interface GatewayUnderTest {
  simulator: GatewaySimulator
  provider: Provider
}

export async function startGateway(): Promise<GatewayUnderTest> {
  const simulator = await startGatewaySimulator()
  return { simulator, provider: createGateway({ apiKey: simulator.apiKey, baseURL: simulator.baseURL }) }
}

export const imageRequest = (changes: Partial<ImageRequest> = {}): ImageRequest => ({ task: 'generate', prompt: 'A cat', size: { width: 1024, height: 1024 }, images: [], providerOptions: {}, ...changes })

export const videoRequest = (changes: Partial<VideoRequest> = {}): VideoRequest => ({ prompt: 'A cat', duration: 8, aspectRatio: '16:9', resolution: '720p', providerOptions: {}, ...changes })

export const never = (): AbortSignal => new AbortController().signal

export async function failureOf(started: Promise<unknown>): Promise<ProviderError> {
  const error = await started.then(() => assert.fail('it should have failed'), (reason: unknown) => reason)
  assert.ok(error instanceof ProviderError, String(error))
  return error
}

export const pngOf = async (width: number, height: number): Promise<InputFile> => ({ bytes: await picture(width, height), mediaType: 'image/png' })
