/** What is asked of every provider, in the same words. */
import sharp from 'sharp'
import { REMOVE_BACKGROUND_PROMPT } from '../../src/generation/edit-request.ts'
import type { ImageRequest, InputFile, VendorModel, VideoRequest } from '../../src/generation/provider.ts'
import type { Job } from './harness.ts'

const bytes = await sharp({ create: { width: 640, height: 360, channels: 3, background: 'teal' } }).jpeg().toBuffer()
const picture: InputFile = { bytes, mediaType: 'image/jpeg' }

export const SEED = 7
export const PROMPT = 'A heron at the edge of a lake'

const image = (vendorId: string, changes: Partial<ImageRequest>): Job => ({ model: { vendorId }, image: { task: 'generate', prompt: PROMPT, size: { width: 1024, height: 1024 }, images: [], seed: SEED, providerOptions: {}, ...changes } })
const video = (model: VendorModel, changes: Partial<VideoRequest>): Job => ({ model, video: { prompt: PROMPT, duration: 5, aspectRatio: '16:9', resolution: '720p', seed: SEED, providerOptions: {}, ...changes } })

export const textToImage = (vendorId: string): Job => image(vendorId, {})
export const edit = (vendorId: string): Job => image(vendorId, { task: 'edit', images: [picture] })
export const removeBackground = (vendorId: string): Job => image(vendorId, { task: 'remove-background', prompt: REMOVE_BACKGROUND_PROMPT, images: [picture] })
export const textToVideo = (vendorId: string, family?: string): Job => video({ vendorId, family }, {})
export const imageToVideo = (vendorId: string, family?: string): Job => video({ vendorId, family }, { firstFrame: picture })
