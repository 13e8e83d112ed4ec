/** The files of an edit: measured before the plan, made clean once it is known what they must fit. */
import { createHash } from 'node:crypto'
import { AppError } from '../errors.ts'
import { inputName, MASK, planEdit, type EditRequestInput, type EditTask } from '../generation/edit-request.ts'
import type { Media } from '../generation/files.ts'
import type { ImagePlan } from '../generation/image-request.ts'
import type { PlanContext } from '../generation/plan.ts'
import type { InputFile } from '../generation/provider.ts'

export interface PrepareEditOptions {
  task: EditTask
  input: EditRequestInput
  uploads: Uint8Array[]
  mask: Uint8Array | undefined
  media: Media
  context: PlanContext
}

/** @throws {AppError} `invalid_request` with details, for the request or its files. */
export async function prepareEdit({ task, input, uploads, mask, media, context }: PrepareEditOptions): Promise<{ plan: ImagePlan; inputs: Record<string, InputFile> }> {
  const [first, ...others] = uploads
  if (!first) throw new AppError('invalid_request', 'image is missing: send the picture as a file.', { details: [{ path: 'image', message: 'is missing' }] })
  const size = await media.measurePicture(first)
  const plan = planEdit(task, input, { count: uploads.length, size, hasMask: mask !== undefined }, context)
  const fit = plan.inputFit!
  const cleaned = await media.cleanPicture(first, fit)
  const inputs: Record<string, InputFile> = { [inputName(0)]: cleaned }
  // One after the other: each is held decoded while it is made.
  for (const [index, upload] of others.entries()) inputs[inputName(index + 1)] = await media.cleanPicture(upload, fit)
  if (mask) inputs[MASK] = await media.cleanMask(mask, { uploaded: size, cleaned })
  return { plan, inputs }
}

export const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
