/** What a variable of the environment may hold. */
import { z } from 'zod'

export type Environment = Record<string, string | undefined>

/** An empty variable counts as not set: that is what a cleared field of a hosting dashboard leaves behind. */
export const emptyIsAbsent = (value: unknown): unknown => (typeof value === 'string' && value.trim() === '' ? undefined : value)

const wholeNumber = (min: number, max: number) => z.string().regex(/^\d+$/, 'must be a whole number').transform(Number).pipe(z.number().min(min).max(max))

/** A whole number within bounds. */
export const integer = (fallback: number, min: number, max: number) => z.preprocess(emptyIsAbsent, wholeNumber(min, max).default(fallback))
export const optionalInteger = (min: number, max: number) => z.preprocess(emptyIsAbsent, wholeNumber(min, max).optional())
/** US dollars, such as `12.50`, in millionths of one. */
export const dollars = z.preprocess(emptyIsAbsent, z.string().regex(/^\d{1,9}(\.\d{1,6})?$/, 'must be an amount in US dollars, such as 12.50').transform((value) => Math.round(Number(value) * 1_000_000)).optional())
export const text = z.preprocess(emptyIsAbsent, z.string().trim().optional())
export const httpUrl = z.preprocess(emptyIsAbsent, z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).transform((url) => url.replace(/\/+$/, '')).optional())
/** With or without TLS. */
export const redisUrl = z.preprocess(emptyIsAbsent, z.string().trim().refine((url) => /^rediss?:\/\/[^/]/.test(url) && URL.canParse(url), 'must be a URL that begins with redis:// or rediss://').optional())
export const list = z.preprocess(emptyIsAbsent, z.string().transform((value) => value.split(',').map((item) => item.trim()).filter(Boolean)).optional())
