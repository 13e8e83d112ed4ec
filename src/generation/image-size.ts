/** Which size to ask the vendor for, so that the caller gets the size they asked for. */
import { AppError } from '../errors.ts'
import { parseSize, toSizeText, type ImageModelEntry, type SizeRules } from './catalog.ts'
import type { Size } from './provider.ts'

/** Ratios that differ by less than this are the same picture: 1312x736 stands for 16:9. */
const RATIO_TOLERANCE = 0.01

/** Vendors want sides that their encoders can halve a few times. */
const SIDE_STEP = 16

/**
 * A size that the model was asked for by name, before anything is paid.
 * @throws {AppError} `invalid_request` that lists what the model can do.
 */
export function checkSize(model: ImageModelEntry, size: Size): void {
  const problem = outside(model.sizes, size) ?? (model.sizes.onlyKnown && !fitSize(model.sizes, size) ? 'it makes certain sizes and no others' : undefined)
  if (problem === undefined) return
  throw new AppError('invalid_request', `${model.id} cannot make ${toSizeText(size)}: ${problem}.`, {
    details: [{ path: 'size', message: `${describe(model.sizes)}, for example ${model.sizes.known.slice(0, 6).join(', ')}` }],
  })
}

/**
 * The size to request so that `wanted` can be cut from it: `wanted` itself where the vendor makes it, otherwise the
 * smallest documented size of the same shape that is at least as large, otherwise `wanted` enlarged to the vendor's
 * minimum. Undefined when the model can make no such picture.
 */
export function fitSize(rules: SizeRules, wanted: Size): Size | undefined {
  if (isAccepted(rules, wanted)) return wanted
  const pixels = (size: Size) => size.width * size.height
  const known = rules.known
    .map(parseSize)
    .filter((size) => size.width >= wanted.width && size.height >= wanted.height && sameShape(size, wanted) && isAccepted(rules, size))
    .toSorted((a, b) => pixels(a) - pixels(b))
  if (known[0]) return known[0]
  const factor = Math.sqrt((rules.minPixels ?? 0) / pixels(wanted))
  if (factor <= 1) return undefined
  const up = (side: number) => Math.ceil((side * factor) / SIDE_STEP) * SIDE_STEP
  const enlarged = { width: up(wanted.width), height: up(wanted.height) }
  return isAccepted(rules, enlarged) ? enlarged : undefined
}

const sameShape = (a: Size, b: Size): boolean => Math.abs(Math.log((a.width / a.height) * (b.height / b.width))) < RATIO_TOLERANCE

/** What the vendor itself takes; `minSide` is only a promise of ours where a total is given too. */
function isAccepted(rules: SizeRules, size: Size): boolean {
  if (rules.onlyKnown) return rules.known.includes(toSizeText(size))
  return outside(rules, size) === undefined && size.width * size.height >= (rules.minPixels ?? 0)
}

function outside(rules: SizeRules, { width, height }: Size): string | undefined {
  const ratio = width / height
  if (Math.min(width, height) < (rules.minSide ?? 1)) return `each side must be at least ${rules.minSide} pixels`
  if (Math.max(width, height) > (rules.maxSide ?? Infinity)) return `no side may exceed ${rules.maxSide} pixels`
  if (width * height > (rules.maxPixels ?? Infinity)) return `width times height may not exceed ${rules.maxPixels} pixels`
  if (ratio < (rules.minRatio ?? 0) || ratio > (rules.maxRatio ?? Infinity)) return 'the picture is too long for its width'
  return undefined
}

function describe(rules: SizeRules): string {
  if (rules.onlyKnown) return 'the model makes certain sizes, and whatever can be scaled down from them'
  const parts = [`sides from ${rules.minSide ?? 1}${rules.maxSide === undefined ? '' : ` to ${rules.maxSide}`} pixels`]
  if (rules.maxPixels !== undefined) parts.push(`at most ${rules.maxPixels} pixels in all`)
  return `the model makes ${parts.join(', ')}`
}
