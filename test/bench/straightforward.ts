/**
 * What our service is compared with: the same route as a competent developer writes it in an afternoon, with the same
 * libraries. One function from top to bottom; each step waits for the one before.
 */
import { createHash } from 'node:crypto'
import { bodyParser } from '@koa/bodyparser'
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { jwtVerify } from 'jose'
import Koa, { type Context } from 'koa'
import OpenAI from 'openai'
import type { ImageGenerateParamsNonStreaming } from 'openai/resources/images'
import sharp from 'sharp'
import { rgbaToThumbHash } from 'thumbhash'
import { z } from 'zod'

export interface StraightforwardOptions {
  supabaseUrl: string
  secretKey: string
  jwtSecret: string
  apiKey: string
  baseURL: string
}

const BUCKET = 'media'
const PRICE_MICROS = 30_000

const requestSchema = z.object({
  prompt: z.string().trim().min(1).max(4000),
  model: z.enum(['seedream-4-0-250828']).default('seedream-4-0-250828'),
  size: z.string().regex(/^\d{3,4}x\d{3,4}$/).default('1024x1024'),
  providerOptions: z.object({ modelark: z.object({ responseFormat: z.enum(['url', 'b64_json']).default('url') }) }).optional(),
})

type ImageRequest = z.infer<typeof requestSchema>

interface Clients {
  supabase: SupabaseClient
  openai: OpenAI
  secret: Uint8Array
}

export function createStraightforward(options: StraightforwardOptions): Koa {
  const clients: Clients = {
    supabase: createClient(options.supabaseUrl, options.secretKey, { auth: { persistSession: false, autoRefreshToken: false } }),
    openai: new OpenAI({ apiKey: options.apiKey, baseURL: options.baseURL, maxRetries: 0 }),
    secret: new TextEncoder().encode(options.jwtSecret),
  }
  const app = new Koa()
  app.use(bodyParser())
  app.use(async (ctx) => {
    if (ctx.method !== 'POST' || ctx.path !== '/api/images/generate') return
    await generateImage(ctx, clients)
  })
  return app
}

async function generateImage(ctx: Context, { supabase, openai, secret }: Clients): Promise<void> {
  const userId = await verifyToken(ctx, secret)
  const parsed = requestSchema.safeParse(ctx.request.body)
  if (!parsed.success) return ctx.throw(400, parsed.error.issues.map(({ message }) => message).join('; '))
  const input = parsed.data

  const prompt = await orThrow(supabase.from('prompts').insert({ user_id: userId, prompt: input.prompt, model_used: input.model, type: 'image', size: input.size }).select('id').single())
  const generation = await orThrow(supabase.from('generations').insert(toGenerationRow(userId, prompt.id, input)).select('id').single())
  try {
    const { url, bytes } = await askProvider(openai, input)
    const { format, width, height } = await sharp(bytes).metadata()
    await sharp(bytes).raw().toBuffer()
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const extension = format === 'jpeg' ? 'jpg' : format
    const storagePath = `${userId}/${generation.id}/0.${extension}`
    const bucketUrl = await upload(supabase, storagePath, bytes, `image/${format}`)

    const thumbnail = await sharp(bytes).autoOrient().resize({ width: 512, height: 512, fit: 'inside', withoutEnlargement: true }).webp({ quality: 80 }).toBuffer()
    const thumbnailPath = `${userId}/${generation.id}/0.thumb.webp`
    const thumbnailUrl = await upload(supabase, thumbnailPath, thumbnail, 'image/webp')
    const placeholder = await makePlaceholder(bytes)

    const image = {
      url: url ?? bucketUrl,
      size: `${width}x${height}`,
      file_size: bytes.length,
      mime_type: `image/${format}`,
      storage_path: storagePath,
      bucket_url: bucketUrl,
      width,
      height,
      sha256,
      thumbnail_path: thumbnailPath,
      thumbnail_url: thumbnailUrl,
      placeholder,
    }
    const { id } = await orThrow(supabase.from('images').insert({ ...image, prompt_id: prompt.id, user_id: userId, generation_id: generation.id, index: 0, bucket: BUCKET }).select('id').single())
    await orThrow(supabase.from('generations').update({ status: 'succeeded', progress: 1, finished_at: new Date().toISOString() }).eq('id', generation.id).select('id').single())
    ctx.body = {
      promptId: prompt.id,
      images: [{ id, url: image.url, bucketUrl, size: image.size, storagePath, width, height, mimeType: image.mime_type, fileSize: image.file_size, thumbnailUrl, placeholder }],
      model: input.model,
      warnings: [],
      generationId: generation.id,
      estimatedCostMicros: PRICE_MICROS,
    }
  } catch (error) {
    await supabase.from('generations').update({ status: 'failed', error: { code: 'internal_error', message: 'The picture could not be made.' } }).eq('id', generation.id)
    throw error
  }
}

async function verifyToken(ctx: Context, secret: Uint8Array): Promise<string> {
  const token = /^Bearer (.+)$/.exec(ctx.get('Authorization'))?.[1]
  if (token === undefined) return ctx.throw(401, 'Sign in first')
  try {
    const { payload } = await jwtVerify(token, secret, { algorithms: ['HS256'], audience: 'authenticated' })
    return z.guid().parse(payload.sub)
  } catch {
    return ctx.throw(401, 'Sign in again')
  }
}

function toGenerationRow(userId: string, promptId: string, input: ImageRequest) {
  return {
    prompt_id: promptId,
    user_id: userId,
    kind: 'image',
    requested_model: input.model,
    model: input.model,
    provider: 'modelark',
    status: 'running',
    estimated_cost_micros: PRICE_MICROS,
    bucket: BUCKET,
    started_at: new Date().toISOString(),
  }
}

async function askProvider(openai: OpenAI, input: ImageRequest): Promise<{ url: string | undefined; bytes: Buffer }> {
  const body = {
    model: input.model,
    prompt: input.prompt,
    size: input.size,
    response_format: input.providerOptions?.modelark.responseFormat ?? 'url',
    // Fields of this vendor, which the SDK's types do not know.
    watermark: false,
    sequential_image_generation: 'disabled',
  }
  const answer = await openai.images.generate(body as ImageGenerateParamsNonStreaming)
  const item = answer.data?.[0]
  if (item?.b64_json !== undefined) return { url: undefined, bytes: Buffer.from(item.b64_json, 'base64') }
  if (item?.url === undefined) throw new Error('The provider answered without a picture.')
  const response = await fetch(item.url)
  if (!response.ok) throw new Error(`The picture answered with status ${response.status}.`)
  return { url: item.url, bytes: Buffer.from(await response.arrayBuffer()) }
}

async function upload(supabase: SupabaseClient, path: string, bytes: Buffer, contentType: string): Promise<string> {
  const files = supabase.storage.from(BUCKET)
  const { error } = await files.upload(path, bytes, { contentType, cacheControl: '31536000' })
  if (error) throw error
  return files.getPublicUrl(path).data.publicUrl
}

async function makePlaceholder(bytes: Buffer): Promise<string> {
  const { data, info } = await sharp(bytes).autoOrient().resize({ width: 100, height: 100, fit: 'inside' }).ensureAlpha().raw().toBuffer({ resolveWithObject: true })
  return Buffer.from(rgbaToThumbHash(info.width, info.height, data)).toString('base64')
}

/** supabase-js answers errors instead of throwing them. */
async function orThrow(query: PromiseLike<{ data: { id: string } | null; error: Error | null }>): Promise<{ id: string }> {
  const { data, error } = await query
  if (error) throw error
  return data!
}
