/** The routes that generate: pictures and videos. */
import * as examples from './examples.ts'
import { BODY, BY_KEY, GENERATING, SIGNED_IN } from './failures.ts'
import { answer, form, header, json, parameter, toResponses, type Operation, type Paths } from './parts.ts'
import { ref, type SchemaName } from './schemas.ts'

const WAITING =
  'Waits for the result, unless `Prefer` says otherwise. From the 20th silent second on the answer begins with status 200 and white space, so that no router hangs up: what fails after that is told in the body, with its `status`. Whoever hangs up loses nothing: the work goes on, and its row tells the outcome.'

interface Generating {
  operationId: string
  tag: string
  summary: string
  description?: string
  content: object
  /** The answer of a generation that succeeded, and one. */
  made: SchemaName
  example: unknown
}

function generating({ operationId, tag, summary, description, content, made, example }: Generating): Operation {
  const replayed = { RateLimit: header('RateLimit'), 'RateLimit-Policy': header('RateLimitPolicy'), 'Idempotency-Replayed': header('IdempotencyReplayed'), 'Preference-Applied': header('PreferenceApplied') }
  return {
    operationId,
    summary,
    description: description === undefined ? WAITING : `${description}\n\n${WAITING}`,
    tags: [tag],
    parameters: [parameter('DryRun'), parameter('IdempotencyKey'), parameter('Prefer'), parameter('CacheControl'), parameter('RequestId')],
    requestBody: { required: true, content },
    responses: toResponses(
      {
        200: answer([made, 'DryRun', 'LateOutcome'], {
          description: 'What was made; with `dryRun`, what would be.',
          headers: replayed,
          examples: {
            made: { summary: 'It was made', value: example },
            dryRun: { summary: 'With dryRun=true', value: examples.dryRun },
            late: { summary: 'It failed after the answer had begun', value: examples.lateFailure },
          },
        }),
        202: answer(['Generation', 'LateOutcome'], {
          description: 'The work goes on. `Location` tells where.',
          headers: { ...replayed, Location: header('Location') },
          examples: {
            running: { summary: 'As Prefer wished', value: examples.running },
            late: { summary: 'It takes longer than a request may wait', value: examples.stillRunning },
          },
        }),
      },
      GENERATING,
    ),
  }
}

/** What a picture to work on may be, as the header of its part says; its bytes decide. */
const PICTURES = 'image/jpeg, image/png, image/webp'

const modelIds = (operationId: string, tag: string, what: string, example: string[]): Operation => ({
  operationId,
  summary: `The ids of the models that ${what} and can be used now`,
  description: 'The default comes first. `GET /api/models` tells more of each.',
  tags: [tag],
  parameters: [parameter('RequestId')],
  responses: toResponses({ 200: answer('ModelIds', { description: 'The ids.', example: { models: example } }) }, [...SIGNED_IN, ...BY_KEY]),
})

export const generatingPaths: Paths = {
  '/api/images/generate': {
    post: generating({
      operationId: 'generateImages',
      tag: 'Images',
      summary: 'Make pictures from text',
      content: json('ImageRequest', {
        short: { summary: 'A prompt is enough', value: { prompt: 'A lighthouse in a storm' } },
        long: { summary: 'Two wide ones from a certain model', value: { prompt: 'A lighthouse in a storm', model: 'seedream-4-0-250828', size: '1536x1024', n: 2, seed: 7, fallback: false } },
      }),
      made: 'Images',
      example: examples.images,
    }),
  },
  '/api/images/edit': {
    post: generating({
      operationId: 'editImages',
      tag: 'Images',
      summary: 'Change pictures as a prompt says',
      content: form('EditForm', { image: PICTURES, mask: 'image/png' }, { prompt: 'Make it night' }),
      made: 'Images',
      example: examples.images,
    }),
  },
  '/api/images/remove-background': {
    post: generating({
      operationId: 'removeBackground',
      tag: 'Images',
      summary: 'Cut out what a picture shows',
      content: form('RemoveBackgroundForm', { image: PICTURES }, {}),
      made: 'Images',
      example: { ...examples.images, model: 'stable-image-remove-background', images: [{ ...examples.storedImage, mimeType: 'image/png' }] },
    }),
  },
  '/api/images/models': { get: modelIds('listImageModels', 'Images', 'make pictures from text', ['seedream-3-0-t2i-250415', 'seedream-4-0-250828']) },
  '/api/images/test': {
    post: {
      operationId: 'testConnection',
      summary: 'Check the provider’s key with a free call',
      description: 'Nothing is made and nothing is stored.',
      tags: ['Images'],
      parameters: [parameter('RequestId')],
      requestBody: { required: true, content: json('ConnectionTestRequest', { any: { summary: 'Any text', value: { prompt: 'A lighthouse' } } }) },
      responses: toResponses(
        {
          200: answer('ConnectionTest', {
            description: 'What the provider said.',
            examples: {
              works: { summary: 'The key works', value: { success: true, data: { object: 'list' } } },
              fails: { summary: 'The key does not work', value: { success: false, error: 'API Error: Authentication failed (Status: 401)' } },
            },
          }),
        },
        [...SIGNED_IN, ...BY_KEY, ...BODY],
      ),
    },
  },
  '/api/videos/generate': {
    post: generating({
      operationId: 'generateVideo',
      tag: 'Videos',
      summary: 'Make a video from text, or from text and its first frame',
      description: 'A form, where there is a first frame; else a form or JSON.',
      content: {
        ...form('VideoForm', { image: PICTURES }, { prompt: 'Waves break against a lighthouse' }),
        'application/json': {
          schema: ref('VideoRequest'),
          examples: {
            short: { summary: 'A prompt is enough', value: { prompt: 'Waves break against a lighthouse' } },
            long: { summary: 'An upright one of eight seconds', value: { prompt: 'Waves break against a lighthouse', duration: 8, aspectRatio: '9:16' } },
          },
        },
      },
      made: 'Video',
      example: examples.video,
    }),
  },
  '/api/videos/models': { get: modelIds('listVideoModels', 'Videos', 'make videos', ['seedance-1-0-lite-t2v']) },
}
