/**
 * A server that speaks OpenAI's image API as its fact sheet has it, refuses what the real one refuses, and misbehaves on
 * request: by `behave()`, or by a word such as `sim:hang` in the prompt.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readBody, sendJson } from './answers.ts'
import { parseForm, type ReceivedFile } from './forms.ts'
import { LOSSES, lose, wordsIn, type Loss } from './misbehaviour.ts'
import { checkFields, checkFiles, type OpenAIProblem, type SentFields } from './openai-rules.ts'
import { picture } from './pictures.ts'

/** Every row of the vendor's error table: status, code, type. */
const REFUSALS = {
  'bad-request': [400, 'invalid_value', 'invalid_request_error'],
  'unknown-parameter': [400, 'unknown_parameter', 'invalid_request_error'],
  'missing-parameter': [400, 'missing_required_parameter', 'invalid_request_error'],
  'context-length': [400, 'context_length_exceeded', 'invalid_request_error'],
  moderation: [400, 'moderation_blocked', 'image_generation_user_error'],
  'moderation-output': [400, 'moderation_blocked', 'image_generation_user_error'],
  'moderation-unknown': [400, 'moderation_blocked', 'image_generation_user_error'],
  'moderation-untold': [400, 'moderation_blocked', 'image_generation_user_error'],
  'moderation-old': [400, 'content_policy_violation', 'invalid_request_error'],
  'user-error': [400, null, 'image_generation_user_error'],
  'no-code': [400, null, 'invalid_request_error'],
  auth: [401, 'invalid_api_key', 'invalid_request_error'],
  'bad-organization': [401, 'invalid_organization', 'invalid_request_error'],
  country: [403, 'unsupported_country_region_territory', 'request_forbidden'],
  unverified: [403, null, 'invalid_request_error'],
  'not-found': [404, 'model_not_found', 'invalid_request_error'],
  gone: [410, null, 'invalid_request_error'],
  'rate-limit': [429, 'rate_limit_exceeded', 'requests'],
  'rate-limit-tokens': [429, null, 'tokens'],
  quota: [429, 'insufficient_quota', 'insufficient_quota'],
  'billing-limit': [429, 'billing_hard_limit_reached', 'invalid_request_error'],
  'billing-limit-400': [400, 'billing_hard_limit_reached', 'invalid_request_error'],
  'server-error': [500, 'server_error', 'server_error'],
  overloaded: [503, null, 'server_error'],
  'slow-down': [503, 'slow_down', 'server_error'],
  'gateway-error': [504, null, 'server_error'],
} as const satisfies Record<string, [status: number, code: string | null, type: string]>

/** Answers of something in between, and of a vendor in disorder. */
const STRANGE = ['proxy-error', 'proxy-unavailable', 'proxy-conflict', 'redirect', 'html', 'bad-json', 'empty', 'no-bytes', 'no-usage'] as const

type Refusal = keyof typeof REFUSALS
export type OpenAIBehaviour = Refusal | (typeof STRANGE)[number] | Loss

export interface OpenAIRequest {
  path: string
  headers: IncomingMessage['headers']
  body: SentFields
  files: ReceivedFile[]
}

export interface OpenAISimulator {
  /** The value of OPENAI_BASE_URL. */
  baseURL: string
  apiKey: string
  /** Every create that arrived, good or bad. */
  requests: OpenAIRequest[]
  /** How many pictures were made: the bill. */
  created(): number
  /** How many made pictures have a prompt that begins so. */
  createsOf(prompt: string): number
  /** The next create calls behave so, one each. */
  behave(...behaviours: (OpenAIBehaviour | 'ok')[]): void
  close(): Promise<void>
}

export async function startOpenAISimulator(options: { apiKey?: string } = {}): Promise<OpenAISimulator> {
  const apiKey = options.apiKey ?? 'sk-simulated-openai-key'
  const requests: OpenAIRequest[] = []
  const prompts: string[] = []
  const next: (OpenAIBehaviour | 'ok')[] = []

  async function create(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const received = await readCreate(path, request)
    if (!received) return sendProblem(response, { status: 400, code: 'invalid_value', message: 'Unsupported content type.' })
    requests.push({ path, headers: request.headers, ...received })
    const problem = checkFields(received.body, path === '/images/edits') ?? (path === '/images/edits' ? await checkFiles(received.files) : undefined)
    if (problem) return sendProblem(response, problem)
    const prompt = String(received.body.prompt)
    const behaviour = next.shift() ?? (wordsIn(prompt)[0] as OpenAIBehaviour | undefined) ?? 'ok'
    if (Object.hasOwn(REFUSALS, behaviour)) return refuse(behaviour as Refusal, response)
    await answer(behaviour as Exclude<typeof behaviour, Refusal>, received, response, () => prompts.push(prompt))
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.headers.authorization !== `Bearer ${apiKey}`) return refuse('auth', response)
    const { pathname } = new URL(request.url ?? '/', 'http://simulator')
    switch (`${request.method} ${pathname}`) {
      case 'POST /v1/images/generations': return create('/images/generations', request, response)
      case 'POST /v1/images/edits': return create('/images/edits', request, response)
      case 'GET /v1/models': return sendJson(response, 200, { object: 'list', data: [{ id: 'gpt-image-2', object: 'model', created: 1776729600, owned_by: 'system', shutdown_date: null }] })
      default: sendProblem(response, { status: 404, code: 'unknown_url', message: 'Invalid URL' })
    }
  }

  const server = createServer((request, response) => {
    response.setHeader('x-request-id', `req_${randomUUID().replaceAll('-', '')}`)
    handle(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    baseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    apiKey,
    requests,
    created: () => prompts.length,
    createsOf: (beginning) => prompts.filter((prompt) => prompt.startsWith(beginning)).length,
    behave: (...behaviours) => void next.push(...behaviours),
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function readCreate(path: string, request: IncomingMessage): Promise<{ body: SentFields; files: ReceivedFile[] } | undefined> {
  const bytes = (await readBody(request))!
  if (path === '/images/edits') {
    const form = await parseForm(request.headers['content-type'], bytes)
    return form && { body: form.fields, files: form.files }
  }
  return request.headers['content-type'] === 'application/json' ? { body: JSON.parse(String(bytes)) as SentFields, files: [] } : undefined
}

function sendProblem(response: ServerResponse, { status, code, message, param }: OpenAIProblem): void {
  sendJson(response, status, { error: { message, type: 'invalid_request_error', param: param ?? null, code } })
}

function refuse(refusal: Refusal, response: ServerResponse): void {
  const [status, code, type] = REFUSALS[refusal]
  if (refusal === 'rate-limit') response.setHeader('retry-after-ms', '1500')
  if (refusal === 'rate-limit-tokens') response.setHeader('retry-after', '7')
  const stage = refusal === 'moderation' ? 'input' : /^moderation-(output|unknown)$/.exec(refusal)?.[1]
  sendJson(response, status, { error: { message: `vendor words for ${refusal}`, type, param: null, code, ...(stage !== undefined && { moderation_details: { moderation_stage: stage, categories: ['violence'] } }) } })
}

async function answer(behaviour: (typeof STRANGE)[number] | Loss | 'ok', { body, files }: { body: SentFields; files: ReceivedFile[] }, response: ServerResponse, bill: () => void): Promise<void> {
  switch (behaviour) {
    case 'proxy-error': return void response.writeHead(502, { 'content-type': 'text/html' }).end('<html><body><h1>502 Bad Gateway</h1></body></html>')
    case 'proxy-unavailable': return void response.writeHead(503, { 'content-type': 'text/html' }).end('<html>unavailable</html>')
    case 'proxy-conflict': return void response.writeHead(409, { 'content-type': 'text/html' }).end('<html>conflict</html>')
    case 'redirect': return void response.writeHead(307, { location: '/v1/elsewhere' }).end()
    case 'html': return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>maintenance</html>')
    case 'bad-json': return void response.writeHead(200, { 'content-type': 'application/json' }).end('{"created":')
    case 'empty': return sendJson(response, 200, { created: 1795305600, data: [] })
    case 'no-bytes': return sendJson(response, 200, { created: 1795305600, data: [{}] })
    default:
  }
  // The picture is made and billed, whatever becomes of the answer.
  bill()
  if ((LOSSES as readonly string[]).includes(behaviour)) return lose(behaviour as Loss, response, '{"created":1795305600,"data":[{"b64_json":"iVBOR')
  const [width, height] = body.size === undefined || body.size === 'auto' ? [1024, 1024] : (String(body.size).split('x').map(Number) as [number, number])
  const format = (body.output_format ?? 'png') as 'png' | 'jpeg' | 'webp'
  const [text, images, output] = [28, files.length * 300, 1572]
  sendJson(response, 200, {
    created: 1795305600,
    background: 'opaque',
    output_format: format,
    quality: body.quality ?? 'medium',
    size: `${width}x${height}`,
    data: [{ b64_json: (await picture(width, height, format)).toString('base64') }],
    ...(behaviour !== 'no-usage' && { usage: { total_tokens: text + images + output, input_tokens: text + images, output_tokens: output, input_tokens_details: { text_tokens: text, image_tokens: images } } }),
  })
}
