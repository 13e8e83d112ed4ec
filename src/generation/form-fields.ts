/** Values as forms send them: text where JSON has numbers, and an empty field for one that was left out. */
import { z } from 'zod'

/** What comes as text is turned into what `schema` checks, which alone tells the API's document what may be sent. */
export const fromForm = <T extends z.ZodType>(schema: T, parse: (text: string) => unknown = (text) => text) =>
  z.preprocess((value) => (value === '' ? undefined : typeof value === 'string' ? parse(value) : value), schema)

/** A number, or its text. */
export const wholeNumber = <T extends z.ZodType>(schema: T) => fromForm(schema, (text) => (/^-?\d{1,15}$/.test(text) ? Number(text) : text))

/** A boolean, or the word for it. */
export const yesOrNo = <T extends z.ZodType>(schema: T) => fromForm(schema, (text) => (text === 'true' ? true : text === 'false' ? false : text))

/** JSON; what is none is left for the schema to refuse. */
export function jsonText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
