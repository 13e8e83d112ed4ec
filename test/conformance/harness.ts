/** What the conformance suite needs to know of a provider and of its simulator, and nothing of either's insides. */
import type { Charged, ErrorCode } from '../../src/errors.ts'
import type { ImageRequest, Provider, VendorModel, VideoRequest } from '../../src/generation/provider.ts'

export const MAKING = ['text to image', 'edit', 'remove background', 'text to video', 'image to video'] as const
export const COLUMNS = [...MAKING, 'states', 'errors', 'lost answer', 'cancel', 'find', 'resume after restart'] as const
export type Making = (typeof MAKING)[number]
export type Column = (typeof COLUMNS)[number]

/** Something that can be asked of a provider. */
export type Job = { model: VendorModel } & ({ image: ImageRequest } | { video: VideoRequest })

/** Makes the simulator misbehave at the next start, or with what comes of it. */
export type Fault = () => void

export type ErrorName = 'input moderation' | 'output moderation' | 'rate limit' | 'quota' | 'unknown model' | "vendor's server error" | 'proxy error'

export interface ErrorCase {
  name: ErrorName
  fault?: Fault
  /** Asked for in place of the track's own. */
  model?: VendorModel
  /** What is to be told of the bill. Unless it is said, what is refused is free and what a proxy says means nothing. */
  charged?: Charged
}

export interface LostCase {
  name: string
  fault: Fault
  /** Whether the work exists behind the lost answer. */
  isMade: boolean
  /** Whether the answer never comes, so that only the caller's signal ends the call. */
  isSilent?: boolean
}

/** Where a task ends, or how it is told of. */
export interface StateCase {
  name: string
  fault: Fault
  status: 'failed' | 'cancelled' | 'unknown'
  code?: ErrorCode
  charged?: Charged
}

export interface LookCase {
  name: string
  fault: Fault
  /** Where the look is told to be no use for a while. */
  code?: ErrorCode
  isSilent?: boolean
}

export interface Stay {
  /** Ends it for the tasks to come. */
  release: () => void
  /** Whether the task that stayed goes on then. */
  goesOn: boolean
}

/** What is known of work that goes on behind the answer. */
export interface Tasks {
  /** The next task comes into that state and stays. */
  stay: (status: 'queued' | 'running') => Stay
  states: StateCase[]
  forgotten: Fault
  /** Looks that go wrong once and say nothing of the work. */
  looks: LookCase[]
  cancel?: {
    /** The task is past stopping when the wish arrives. @returns what lets it go on, where it needs that. */
    tooLate?: () => (() => void) | undefined
  }
  find?: {
    /** The answer to a start is lost, and the first list fails too. */
    listFails: Fault
  }
}

/** One way of being asked: pictures, videos, or a family of them with a wire format of its own. */
export interface Track {
  name: string
  job: Job
  /** How many pieces of work the simulator ever took on. */
  created: () => number
  errors: ErrorCase[]
  lost: LostCase[]
  /** Absent where the answer holds the result. */
  tasks?: Tasks
}

/** A running simulator and what may be asked of it. */
export interface Bench {
  apiKey: string
  baseURL: string
  offers: Partial<Record<Making, Job>>
  tracks: Track[]
  close: () => Promise<void>
}

export type CreateProvider = (changes?: { apiKey?: string; baseURL?: string }) => Provider

/** Each error once, by its name. */
export function errorCases(cases: Partial<Record<ErrorName, Omit<ErrorCase, 'name'>>>): ErrorCase[] {
  return Object.entries(cases).map(([name, one]) => ({ name: name as ErrorName, ...one }))
}

/** Words that lose an answer. */
export const losses = <Word extends string>(say: (word: Word) => Fault, isMade: boolean, words: Word[]): LostCase[] => words.map((word) => ({ name: word, fault: say(word), isMade, isSilent: word.endsWith('hang') }))

/** Words that spoil a look. */
export const looksOf = <Word extends string>(say: (word: Word) => Fault, words: Word[]): LookCase[] => words.map((word) => ({ name: word, fault: say(word), isSilent: word.includes('hang') }))
