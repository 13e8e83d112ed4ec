/**
 * A server that speaks the Gemini API as its fact sheet has it, refuses what the real one refuses, and misbehaves on
 * request: by `behave()`, or by a word such as `sim:hang` in the prompt when it is used by hand.
 */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readBody, send, sendJson } from './answers.ts'
import { film, type Ratio } from './films.ts'
import { GOOGLE_LOSSES, GOOGLE_REFUSALS, isGoogleRefusal, loseAnswer, sendGoogleError, sendInteractionError, type GoogleLoss } from './google-answers.ts'
import { answerPicture, PICTURE_WORDS } from './google-images.ts'
import { createInteraction, describeInteraction, isInteractionWord, secondsOf, statusOf, type Interaction } from './google-interactions.ts'
import { checkGenerateContent, checkInteraction } from './google-rules.ts'
import { createUploads, type SimulatedUpload } from './google-uploads.ts'
import { wordsIn } from './misbehaviour.ts'

type Json = Record<string, unknown>

export interface SimulatedGoogleRequest {
  /** Such as `POST /v1beta/interactions`. */
  call: string
  headers: IncomingHttpHeaders
  body: unknown
}

export interface GoogleSimulator {
  /** The value of GEMINI_BASE_URL. */
  baseURL: string
  apiKey: string
  /** Every call that arrived, good or bad. */
  requests: SimulatedGoogleRequest[]
  /** How many pictures and videos were made or taken on, and so billed. */
  created(): number
  createsOf(prompt: string): number
  /** The next calls that create behave so, one each. */
  behave(...words: string[]): void
  /** The next free calls (looks, cancels, files, uploads) are refused or lost so, one each. */
  behaveAtLook(...words: string[]): void
  /** Interactions that are created from now on stay there. */
  hold(status: 'queued' | 'in_progress' | undefined): void
  /** Files that were sent ahead, by their address. */
  uploads: ReadonlyMap<string, SimulatedUpload>
  /** How a started interaction stands, in the vendor's word. */
  statusOf(id: string): string | undefined
  close(): Promise<void>
}

const isLoss = (word: string): word is GoogleLoss => (GOOGLE_LOSSES as readonly string[]).includes(word)

/** The interaction is made, and its answer is a failure or none. */
const ACCEPTED = /^accept-(.+)$/

const KNOWN = (word: string): boolean => isGoogleRefusal(word) || isLoss(word) || PICTURE_WORDS.includes(word) || isInteractionWord(word) || ACCEPTED.test(word)

export async function startGoogleSimulator({ port = 0, apiKey = 'AIza-simulated-key' }: { port?: number; apiKey?: string } = {}): Promise<GoogleSimulator> {
  const requests: SimulatedGoogleRequest[] = []
  const made: string[] = []
  const nextCreates: string[] = []
  const nextLooks: string[] = []
  const interactions = new Map<string, Interaction>()
  let heldAt: Interaction['heldAt']
  let origin = ''

  const uploads = createUploads(() => origin)

  /** The words that one create obeys. */
  const wordsFor = (prompt: string): Set<string> => new Set([nextCreates.shift(), ...wordsIn(prompt)].filter((word) => word !== undefined))

  async function generate(model: string, body: Json, byteLength: number, response: ServerResponse): Promise<void> {
    const problem = checkGenerateContent(model, body, byteLength, (uri) => uploads.files.has(String(uri)))
    if (problem) return sendGoogleError(response, problem.status, problem.status === 404 ? 'NOT_FOUND' : 'INVALID_ARGUMENT', problem.message)
    const prompt = textOf((body.contents as { parts: Json[] }[])[0]!.parts)
    const [word] = wordsFor(prompt)
    if (word !== undefined && isGoogleRefusal(word)) return GOOGLE_REFUSALS[word](response)
    if (word !== undefined && isLoss(word)) {
      made.push(prompt)
      return loseAnswer(word, response, '{"candidates":[{"content":{"parts":[{"inlineData":')
    }
    const config = (body.generationConfig as Json).imageConfig as { aspectRatio: string; imageSize: string }
    if (await answerPicture(response, model, config, word)) made.push(prompt)
  }

  async function createVideo(body: Json, response: ServerResponse): Promise<void> {
    const problem = checkInteraction(body)
    if (problem) return sendInteractionError(response, problem.status, problem.status === 404 ? 'not_found' : 'invalid_request', problem.message)
    const prompt = textOf(body.input as Json[])
    const words = wordsFor(prompt)
    const refusal = [...words].find(isGoogleRefusal)
    if (refusal !== undefined) return GOOGLE_REFUSALS[refusal](response)
    const interaction = createInteraction(body, prompt, words, heldAt)
    interactions.set(interaction.id, interaction)
    made.push(prompt)
    const accepted = [...words].map((word) => ACCEPTED.exec(word)?.[1]).find((word) => word !== undefined)
    if (accepted === '500') return GOOGLE_REFUSALS['server-error'](response)
    if (accepted !== undefined && isGoogleRefusal(accepted)) return GOOGLE_REFUSALS[accepted](response)
    const loss = [accepted, ...words].find((word) => word !== undefined && isLoss(word))
    if (loss !== undefined) return loseAnswer(loss as GoogleLoss, response, `{"id":"${interaction.id}","sta`)
    if (words.has('odd')) return sendJson(response, 200, { name: 'no id' })
    sendJson(response, 200, { id: interaction.id, model: body.model, status: 'in_progress', created: '2026-11-22T10:00:00Z', object: 'interaction' })
  }

  async function look(id: string, response: ServerResponse): Promise<void> {
    const interaction = interactions.get(id)
    if (!interaction || interaction.words.has('forgotten')) return sendGoogleError(response, 404, 'NOT_FOUND', 'The requested interaction was not found.')
    interaction.looks++
    if (interaction.words.has('odd-look')) return sendJson(response, 200, { id, status: 7 })
    sendJson(response, 200, describeInteraction(interaction, origin, await filmOf(interaction)))
  }

  function cancel(id: string, response: ServerResponse): void {
    const interaction = interactions.get(id)
    if (!interaction || interaction.words.has('forgotten')) return sendGoogleError(response, 404, 'NOT_FOUND', 'The requested interaction was not found.')
    if (interaction.words.has('ends-on-cancel')) Object.assign(interaction, { heldAt: undefined, looks: 9 })
    if (!['queued', 'in_progress'].includes(statusOf(interaction))) return sendGoogleError(response, 400, 'FAILED_PRECONDITION', 'The interaction is not running.')
    interaction.isCancelled = true
    sendJson(response, 200, { id, status: 'cancelled' })
  }

  async function file(id: string, isDownload: boolean, response: ServerResponse): Promise<void> {
    const interaction = [...interactions.values()].find(({ fileId }) => fileId === id)
    const words = interaction?.words
    if (!interaction || words?.has('file-gone')) return sendGoogleError(response, 404, 'NOT_FOUND', 'The file does not exist.')
    if (words?.has('file-forbidden')) return sendGoogleError(response, 403, 'PERMISSION_DENIED', `You do not have permission to access the File ${id} or it may not exist.`)
    if (isDownload) return send(response, 'video/mp4', await filmOf(interaction))
    const isFirst = interaction.fileLooks++ === 0
    sendJson(response, 200, { name: `files/${id}`, mimeType: 'video/mp4', state: words?.has('file-failed') ? 'FAILED' : words?.has('file-processing') && isFirst ? 'PROCESSING' : 'ACTIVE', source: 'GENERATED' })
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://simulator')
    const bytes = (await readBody(request)) ?? Buffer.alloc(0)
    const call = `${request.method} ${url.pathname}`
    const uploadId = url.searchParams.get('upload_id')
    const body = bytes.length > 0 && uploadId === null ? (JSON.parse(bytes.toString()) as Json) : undefined
    requests.push({ call, headers: request.headers, body })
    // Its address is its permission.
    if (uploadId !== null) return uploads.finish(uploadId, request, bytes, response)
    const key = request.headers['x-goog-api-key']
    if (key === undefined) return sendGoogleError(response, 403, 'PERMISSION_DENIED', "Method doesn't allow unregistered callers.")
    if (key !== apiKey) return GOOGLE_REFUSALS.auth(response)
    const model = /^POST \/v1beta\/models\/([\w.-]+):generateContent$/.exec(call)?.[1]
    if (model !== undefined || call === 'POST /v1beta/interactions') {
      if (request.headers['content-type'] !== 'application/json' || !body) return sendGoogleError(response, 400, 'INVALID_ARGUMENT', 'not JSON')
      return model === undefined ? createVideo(body, response) : generate(model, body, bytes.length, response)
    }
    const word = nextLooks.shift()
    if (word !== undefined && isGoogleRefusal(word)) return GOOGLE_REFUSALS[word](response)
    if (word !== undefined && isLoss(word)) return loseAnswer(word, response, '{"id":')
    if (call === 'POST /upload/v1beta/files') return uploads.begin(request, response, word === 'foreign-link' ? 'https://stranger.example.com/upload' : undefined)
    if (call === 'GET /v1beta/models') return sendJson(response, 200, { models: [{ name: 'models/gemini-3.1-flash-image', supportedGenerationMethods: ['generateContent'] }] })
    const [, id, end] = /^GET \/v1beta\/interactions\/([\w.-]+)()$/.exec(call) ?? /^POST \/v1beta\/interactions\/([\w.-]+)\/(cancel)$/.exec(call) ?? []
    if (id !== undefined) return end === 'cancel' ? cancel(id, response) : look(id, response)
    const [, fileId, download] = /^GET \/v1beta\/files\/([\w-]+)(:download)?$/.exec(call) ?? []
    if (fileId !== undefined && (download === undefined || url.searchParams.get('alt') === 'media')) return file(fileId, download !== undefined, response)
    sendGoogleError(response, 404, 'NOT_FOUND', 'no such path')
  }

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy())
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  const queue = (list: string[], words: string[]) => {
    const unknown = words.find((word) => word !== 'ok' && !KNOWN(word))
    if (unknown !== undefined) throw new Error(`The simulated Google knows no ${unknown}`)
    list.push(...words)
  }
  return {
    baseURL: `${origin}/v1beta`,
    apiKey,
    requests,
    created: () => made.length,
    createsOf: (prompt) => made.filter((other) => other === prompt).length,
    behave: (...words) => queue(nextCreates, words),
    behaveAtLook: (...words) => queue(nextLooks, words),
    uploads: uploads.files,
    hold: (status) => void (heldAt = status),
    statusOf: (id) => {
      const interaction = interactions.get(id)
      return interaction && statusOf(interaction)
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const textOf = (parts: Json[]): string => parts.map(({ text }) => text).find((text) => typeof text === 'string') ?? ''

const filmOf = (interaction: Interaction): Promise<Buffer> => film(secondsOf(interaction), (interaction.body.response_format as Json).aspect_ratio as Ratio)
