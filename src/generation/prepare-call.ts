/** From a plan to the vendor's model and the one call that asks it: everything but the call itself. */
import { randomBytes } from 'node:crypto'
import { inputName, MASK } from './edit-request.ts'
import type { Plan } from './records.ts'
import type { ImageRequest, InputFile, Mark, MediaModel, Provider, Started, VideoRequest } from './provider.ts'

export interface PreparedCall {
  model: MediaModel<never>
  /** To be stored before the call. */
  mark: Mark
  callbackToken: string
  start(signal: AbortSignal): Promise<Started>
}

/** The name of the first frame among a request's files. */
export const FIRST_FRAME = 'firstFrame'

/** @returns undefined where the provider has nothing of the plan's kind. */
export function modelOf(plan: Plan, provider: Provider | undefined): MediaModel<never> | undefined {
  return provider?.[plan.kind]?.({ vendorId: plan.vendorId, family: plan.family })
}

export interface PrepareOptions {
  plan: Plan
  provider: Provider
  /** The files of the request, by name. */
  inputs: Readonly<Record<string, InputFile>>
  /** Where the vendor may call back for this submission, up to the token; undefined where it cannot reach us. */
  callbackAddress: string | undefined
}

export function prepareCall({ plan, provider, inputs, callbackAddress }: PrepareOptions): PreparedCall {
  const callbackToken = randomBytes(24).toString('base64url')
  const callbackUrl = callbackAddress && `${callbackAddress}/${callbackToken}`
  const id = { vendorId: plan.vendorId, family: plan.family }
  if (plan.kind === 'image') return bind(provider.image!(id), toImageRequest(plan, inputs, callbackUrl), callbackToken)
  return bind(provider.video!(id), toVideoRequest(plan, inputs, callbackUrl), callbackToken)
}

function bind<Request>(model: MediaModel<Request>, request: Request, callbackToken: string): PreparedCall {
  const mark = model.mark?.(request) ?? {}
  // The token is kept beside what the provider chose to send, and is no part of it.
  return { model, mark: { ...mark, callbackToken }, callbackToken, start: (signal) => model.start(request, { signal, mark }) }
}

function toImageRequest(plan: Extract<Plan, { kind: 'image' }>, inputs: Readonly<Record<string, InputFile>>, callbackUrl: string | undefined): ImageRequest {
  const images: InputFile[] = []
  for (let file = inputs[inputName(0)]; file; file = inputs[inputName(images.length)]) images.push(file)
  return {
    // Plans that were made before there were other tasks say none.
    task: plan.task ?? 'generate',
    prompt: plan.prompt,
    size: plan.requestSize,
    images,
    mask: inputs[MASK],
    seed: plan.seed,
    negativePrompt: plan.negativePrompt,
    callbackUrl,
    providerOptions: plan.providerOptions,
  }
}

function toVideoRequest(plan: Extract<Plan, { kind: 'video' }>, inputs: Readonly<Record<string, InputFile>>, callbackUrl: string | undefined): VideoRequest {
  return {
    prompt: plan.prompt,
    duration: plan.duration,
    aspectRatio: plan.aspectRatio,
    resolution: plan.resolution,
    seed: plan.seed,
    generateAudio: plan.generateAudio,
    firstFrame: inputs[FIRST_FRAME],
    callbackUrl,
    providerOptions: plan.providerOptions,
  }
}
