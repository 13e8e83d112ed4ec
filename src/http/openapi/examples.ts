/** One story for every example: a lighthouse, as a picture and as a video. */

const GENERATION = '6f0c7d2e-2f6b-4a53-9a4c-0a4f8a1b2c3d'
const PROMPT = 'b4a1c0de-91f2-4d0a-8d3c-7f1f6f0e2a11'
const USER = '0d9e8c7b-6a5f-4e3d-8c2b-1a0f9e8d7c6b'
const BUCKET = `https://abcdefgh.supabase.co/storage/v1/object/public/media/${USER}/${GENERATION}`
const REQUEST = 'req_Zk3fW0c1pQ7xH2aB'

export const storedImage = {
  id: '3e1b7a90-5c44-4c1e-9a0e-52d1f0a4b8c7',
  url: 'https://provider.example.com/results/lighthouse.jpeg?signature=abc',
  bucketUrl: `${BUCKET}/0.jpg`,
  size: '1024x1024',
  storagePath: `${USER}/${GENERATION}/0.jpg`,
  width: 1024,
  height: 1024,
  mimeType: 'image/jpeg',
  fileSize: 412_345,
  thumbnailUrl: `${BUCKET}/0.thumb.webp`,
  placeholder: '1QcSHQRnh493V4dIh4eXh1h4kJUI',
}

const outcome = { warnings: [], estimatedCostMicros: 30_000, costMicros: 30_000, attempts: [], cached: false }

export const images = { promptId: PROMPT, images: [storedImage], model: 'seedream-4-0-250828', generationId: GENERATION, ...outcome }

const film = {
  id: 'f2a4c6e8-1357-4924-8680-bdf013579ace',
  url: 'https://provider.example.com/results/lighthouse.mp4?signature=abc',
  storagePath: `${USER}/${GENERATION}/0.mp4`,
  width: 1280,
  height: 720,
  mimeType: 'video/mp4',
  fileSize: 2_345_678,
}

export const video = { video_url: `${BUCKET}/0.mp4`, duration: 5.042, aspectRatio: '16:9', ...film, promptId: PROMPT, generationId: GENERATION, model: 'seedance-1-0-lite-t2v-250428', ...outcome, estimatedCostMicros: 90_000, costMicros: 91_800 }

export const dryRun = {
  dryRun: true,
  requestedModel: 'seedream-3-0-t2i-250415',
  model: 'seedream-4-0-250828',
  provider: 'modelark',
  parameters: { n: 1, providerOptions: {}, size: '512x512', requestSize: '1024x1024' },
  warnings: [{ type: 'adjusted', setting: 'size', message: 'seedream-4-0-250828 does not make 512x512: it was made at 1024x1024 and scaled down.' }],
  estimatedCostMicros: 30_000,
  fallbacks: [{ model: 'gpt-image-2', provider: 'openai', estimatedCostMicros: null }],
}

export const running = {
  id: GENERATION,
  promptId: PROMPT,
  kind: 'video',
  model: 'seedance-1-0-lite-t2v-250428',
  provider: 'modelark',
  status: 'running',
  progress: 0.4,
  error: null,
  warnings: [],
  attempts: [],
  cached: false,
  estimatedCostMicros: 90_000,
  costMicros: null,
  createdAt: '2026-11-22T10:00:00.000Z',
  startedAt: '2026-11-22T10:00:01.000Z',
  finishedAt: null,
  images: [],
  videos: [],
}

export const succeeded = {
  ...running,
  status: 'succeeded',
  progress: 1,
  costMicros: 91_800,
  finishedAt: '2026-11-22T10:01:12.000Z',
  videos: [{ ...film, bucketUrl: `${BUCKET}/0.mp4`, duration: 5.042, aspectRatio: '16:9' }],
}

export const cancelled = { ...running, status: 'cancelled', progress: null, finishedAt: '2026-11-22T10:00:09.000Z' }

export const stillRunning = {
  error: `This takes longer than a request may wait. The work goes on: look for it at /api/generations/${GENERATION}.`,
  code: 'still_running',
  status: 202,
  generationId: GENERATION,
  requestId: REQUEST,
}

export const lateFailure = { error: 'The provider did not finish in time.', code: 'provider_timeout', requestId: REQUEST, generationId: GENERATION, status: 504 }

export const events = `retry: 2000

id: 1795341601000000
event: progress
data: ${JSON.stringify(running)}

: still here

id: 1795341672000000
event: succeeded
data: ${JSON.stringify(succeeded)}

`

export const models = {
  models: [
    {
      id: 'seedream-4-0-250828',
      kind: 'image',
      provider: 'modelark',
      state: 'current',
      fallbacks: ['gpt-image-2'],
      usable: true,
      capabilities: {
        tasks: ['generate', 'edit'],
        sizes: ['1024x1024', '2048x2048'],
        sizeLimits: { maxSide: 4096, minRatio: 0.0625, maxRatio: 16 },
        maxImages: 1,
        maxInputImages: 10,
        mask: false,
        maxPromptCharacters: 4000,
        seed: false,
        negativePrompt: false,
      },
      price: { per: 'image', usdMicros: 30_000 },
    },
  ],
}

export const health = {
  status: 'ok',
  version: '0.1.0',
  uptimeSeconds: 86_400,
  services: { database: { status: 'ok', latencyMs: 2 }, storage: { status: 'ok', latencyMs: 14 }, auth: { status: 'ok', latencyMs: 9 } },
  providers: { modelark: { status: 'ok', latencyMs: 8200, lastAnswerAt: '2026-11-22T10:00:00.000Z' }, openai: { status: 'unknown' } },
}

export const metrics = `# HELP darkroom_http_requests_total Requests that were answered, by the route's pattern.
# TYPE darkroom_http_requests_total counter
darkroom_http_requests_total{method="POST",route="/api/images/generate",status="2xx"} 42
`
