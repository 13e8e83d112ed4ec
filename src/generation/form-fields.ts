/** Values as forms send them: text where JSON has numbers, and an empty field for one that was left out. */
import { z } from 'zod'

export const fromForm = <T extends z.ZodType>(schema: T) => z.preprocess((value) => (value === '' ? undefined : value), schema)

export const wholeNumber = (message: string) => z.union([z.int(message), z.string(message).regex(/^-?\d{1,15}$/, message).transform(Number)])

export const yesOrNo = z.union([z.boolean(), z.enum(['true', 'false']).transform((word) => word === 'true')])

/** JSON in a field; what is none is left for the schema to refuse. */
export const jsonText = (value: unknown): unknown => {
  if (typeof value !== 'string') return value
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}
