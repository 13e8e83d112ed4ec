/** The simulated `generateContent`: pictures, and the many ways in which a 200 holds none. */
import type { ServerResponse } from 'node:http'
import sharp from 'sharp'
import { sendJson } from './answers.ts'

/** Ends without a picture, with what the vendor calls them. */
const FINISHES = {
  'image-safety': 'IMAGE_SAFETY',
  safety: 'SAFETY',
  prohibited: 'PROHIBITED_CONTENT',
  recitation: 'RECITATION',
  'image-recitation': 'IMAGE_RECITATION',
  'no-image': 'NO_IMAGE',
  'image-other': 'IMAGE_OTHER',
  'text-only': 'STOP',
  'max-tokens': 'MAX_TOKENS',
} as const

export const PICTURE_WORDS = [...Object.keys(FINISHES), 'moderation', 'moderation-other', 'image-safety-billed', 'untold', 'empty', 'odd', 'thought'] as string[]

const TOKENS: Record<string, number> = { '512': 747, '1K': 1120, '2K': 1680, '4K': 2520 }
const SIDES: Record<string, number> = { '512': 512, '1K': 1024, '2K': 2048, '4K': 4096 }

/** @param word how the answer is to be; undefined for a good one. @returns whether a picture was made. */
export async function answerPicture(response: ServerResponse, model: string, imageConfig: { aspectRatio: string; imageSize: string }, word: string | undefined): Promise<boolean> {
  const tokens = TOKENS[imageConfig.imageSize]!
  const send = (candidate: object | undefined, more: object = {}, candidatesTokenCount?: number) => {
    sendJson(response, 200, {
      ...(candidate && { candidates: [{ index: 0, ...candidate }] }),
      usageMetadata: { promptTokenCount: 265, ...(candidatesTokenCount !== undefined && { candidatesTokenCount }), totalTokenCount: 265 + (candidatesTokenCount ?? 0) },
      modelVersion: model,
      responseId: 'resp-123',
      ...more,
    })
    return candidatesTokenCount !== undefined
  }
  const words = { role: 'model', parts: [{ text: 'Here is what I think.' }] }
  switch (word) {
    case 'moderation': return send(undefined, { promptFeedback: { blockReason: 'PROHIBITED_CONTENT' } })
    case 'moderation-other': return send(undefined, { promptFeedback: { blockReason: 'OTHER' } })
    case 'image-safety-billed': return send({ finishReason: 'IMAGE_SAFETY' }, {}, tokens)
    case 'untold': return send({ finishReason: 'IMAGE_SAFETY' }, { usageMetadata: undefined })
    case 'empty': return send(undefined)
    case 'odd':
      sendJson(response, 200, { candidates: 'none' })
      return true
    default:
  }
  if (word !== undefined && word in FINISHES) return send({ finishReason: FINISHES[word as keyof typeof FINISHES], ...(word === 'text-only' && { content: words }) })
  const inlineData = { mimeType: 'image/png', data: (await draw(imageConfig)).toString('base64') }
  const sketch = { thought: true, inlineData: { mimeType: 'image/png', data: Buffer.from('a sketch').toString('base64') } }
  return send({ finishReason: 'STOP', content: { role: 'model', parts: [...(word === 'thought' ? [{ thought: true, text: 'Let me see.' }, sketch] : []), { inlineData }] } }, {}, tokens)
}

async function draw({ aspectRatio, imageSize }: { aspectRatio: string; imageSize: string }): Promise<Buffer> {
  const [w, h] = aspectRatio.split(':').map(Number) as [number, number]
  const side = (factor: number) => Math.round((SIDES[imageSize]! * Math.sqrt(factor)) / 8) * 8
  return await sharp({ create: { width: side(w / h), height: side(h / w), channels: 3, background: { r: 40, g: 120, b: 90 } } }).png({ compressionLevel: 1 }).toBuffer()
}
