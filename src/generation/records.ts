/** What the core asks of whoever keeps the rows. */
import type { ErrorCode } from '../errors.ts'
import type { ImagePlan } from './image-request.ts'
import type { InputFile, Mark, Operation, Output, Warning } from './provider.ts'
import type { VideoPlan } from './video-request.ts'

export type Plan = ImagePlan | VideoPlan

export const GENERATION_STATUSES = ['queued', 'running', 'storing', 'succeeded', 'failed', 'cancelled'] as const

export type GenerationStatus = (typeof GENERATION_STATUSES)[number]

/** An error as a row tells it: to the user who reads the row, and to the process that answers for it. */
export interface RecordedError {
  code: ErrorCode
  message: string
}

/** One paid call and what became of it. */
export interface Submission {
  index: number
  /**
   * `starting` is written before the paid call: found by anyone but the caller, it means that the outcome is unknown.
   * `uncertain` is such a one that the provider is being asked about, `started` one that the provider works on.
   */
  state: 'queued' | 'starting' | 'uncertain' | 'started' | 'accepted' | 'refused' | 'unknown' | 'lost'
  mark: Mark | undefined
  /** When the paid call began. */
  calledAt: Date | undefined
  /** What proves that a callback is the provider's. */
  callbackToken: string | undefined
  operation: Operation | undefined
  /** An operation that a callback named: to be looked at, not to be believed. */
  toldOperation: Operation | undefined
  /** The provider's link, where it sent one. */
  output: Output | undefined
  /** Whether the output came as bytes, which `getBytes` gives. */
  hasBytes: boolean
  outputExpiresAt: Date | undefined
  error: RecordedError | undefined
  updatedAt: Date
  /** Whether its file has a row. */
  isRecorded: boolean
}

/** Everything a step needs to go on, in any process. */
export interface GenerationWork {
  id: string
  userId: string
  status: GenerationStatus
  progress: number | null
  plan: Plan
  createdAt: Date
  submissions: Submission[]
}

export interface StoredImage {
  index: number
  url: string | null
  size: string
  fileSize: number
  mimeType: string
  storagePath: string
  bucketUrl: string | null
  width: number
  height: number
  sha256: string
  thumbnailPath: string
  thumbnailUrl: string | null
  placeholder: string
}

export interface StoredVideo {
  index: number
  url: string | null
  /** Seconds, as measured in the file. */
  duration: number
  aspectRatio: string
  fileSize: number
  mimeType: string
  storagePath: string
  bucketUrl: string | null
  width: number
  height: number
  sha256: string
}

/** A generation as its owner sees it. */
export interface Generation {
  id: string
  promptId: string
  kind: string
  requestedModel: string
  model: string
  provider: string
  status: GenerationStatus
  progress: number | null
  error: RecordedError | null
  warnings: Warning[]
  /** In millionths of a US dollar. */
  estimatedCostMicros: number | null
  /** What it cost, in millionths of a US dollar; null while that is not settled. */
  costMicros: number | null
  /** Whether it shows the files of an earlier one. */
  cached: boolean
  /** The models that were asked before the present one. */
  attempts: Attempt[]
  createdAt: Date
  /** Microseconds since 1970, which a Date would round: the order of lists. */
  createdAtMicros: string
  /** Grows with every change of the row. */
  version: string
  startedAt: Date | null
  finishedAt: Date | null
  images: (StoredImage & { id: string })[]
  videos: (StoredVideo & { id: string })[]
}

export interface IdempotencyKey {
  key: string
  route: string
  /** Of the request's meaning, in hexadecimal. */
  bodySha256: string
}

export interface ListOptions {
  limit: number
  /** Only what is older than this one. */
  before?: { createdAtMicros: string; id: string } | undefined
  status?: GenerationStatus | undefined
  kind?: string | undefined
}

export interface NewGeneration {
  userId: string
  plan: Plan
  bucket: string
  /** Files of the request, by name, kept until the provider has them. */
  inputs?: Record<string, InputFile> | undefined
  idempotencyKey?: IdempotencyKey | undefined
  /** How old an answer to the same request is taken instead of a new one, in seconds. */
  maxAgeSeconds: number
}

/** A model that was asked and took nothing. */
export interface Attempt {
  model: string
  provider: string
  error: RecordedError
  /** ISO 8601. */
  at: string
}

export interface AcceptedOutput {
  outputs: Output[]
  /** An output that came as bytes, kept in the same write; `keepBytes` does that later. */
  bytes?: Uint8Array | undefined
  expiresAt: Date
  providerRequestId?: string | undefined
  warnings: Warning[]
  /** What the vendor says that it charged, in millionths of a US dollar. */
  costMicros?: number | undefined
}

/** Every method throws `AppError` `database_unavailable` when the database is away. */
export interface Records {
  /**
   * Writes the prompt, the generation and its job in one transaction, or finds what the same idempotency key wrote
   * within a day.
   * @throws {AppError} `idempotency_mismatch` when the key stood for another body, `not_found` when its generation was
   *   deleted.
   */
  create(input: NewGeneration): Promise<{ generationId: string; isNew: boolean }>
  /** What the same idempotency key made within a day. @throws as `create`. */
  findEarlier(userId: string, idempotencyKey: IdempotencyKey): Promise<string | undefined>
  findWork(generationId: string): Promise<GenerationWork | undefined>
  /** @returns undefined when there is none or it is another user's. */
  find(generationId: string, userId: string): Promise<Generation | undefined>
  /** A user's generations, the newest first. */
  list(userId: string, options: ListOptions): Promise<Generation[]>
  /** Ends a generation whose provider was not asked yet, or took nothing so far. @returns whether it did. */
  cancel(generationId: string, userId: string): Promise<boolean>
  /** Ends a generation whose operation was cancelled. @returns false when it has ended or other work of it goes on. */
  cancelOperation(generationId: string): Promise<boolean>
  /** The files of the request that `create` kept, by name. */
  getInputs(generationId: string): Promise<Record<string, InputFile>>
  /**
   * Marks every queued submission as starting.
   * @param marks what to remember of each, by its index.
   * @returns the indexes that this call, and no other, may now start; undefined when every place that the generation
   *   could take is taken: it waits without a job and gets one when a place is free.
   */
  claimSubmissions(generationId: string, marks: Mark[]): Promise<number[] | undefined>
  /** The provider has taken the work on. A generation that was given up meanwhile goes on. */
  saveStarted(generationId: string, index: number, started: { operation: Operation; providerRequestId?: string | undefined; warnings: Warning[] }): Promise<void>
  /** The answer to the paid call was lost: the provider is to be asked what became of it. */
  saveUncertain(generationId: string, index: number, error: RecordedError): Promise<void>
  /**
   * Goes on with another model when the present one surely took nothing.
   * @returns false when something of it was or may be taken.
   */
  tryNext(generationId: string, plan: Plan, attempt: Attempt): Promise<boolean>
  /** Those of the operations that belong to another generation already. */
  findTaken(generationId: string, operations: Operation[]): Promise<Operation[]>
  /** What a callback said, whose token was right. */
  saveTold(generationId: string, index: number, operation: Operation): Promise<void>
  /** What the provider tells of its progress, from 0 to 1. It never goes back. */
  saveProgress(generationId: string, progress: number): Promise<void>
  saveAccepted(generationId: string, index: number, accepted: AcceptedOutput): Promise<void>
  /** @param error with `charged: 'yes'` where the provider bills what it did not give: the account is charged then. */
  saveNotAccepted(generationId: string, index: number, state: 'refused' | 'unknown', error: RecordedError & { charged?: 'yes' }): Promise<void>
  /** Gives a claimed submission back: the provider surely did not accept it, and this process must go. */
  releaseSubmission(generationId: string, index: number): Promise<void>
  /** Keeps an output that came as bytes until it is stored: no link leads to it again. */
  keepBytes(generationId: string, index: number, bytes: Uint8Array): Promise<void>
  /** What `keepBytes` kept. */
  getBytes(generationId: string, index: number): Promise<Uint8Array | undefined>
  /** Gives back what a claim with these callback tokens took, whose answer was lost: nobody was asked. */
  releaseClaimed(generationId: string, callbackTokens: string[]): Promise<void>
  /** An accepted output that can never be stored. What may lie in storage of it is removed later. */
  saveLost(generationId: string, index: number, error: RecordedError): Promise<void>
  /** Tells the owner why a finished output is not stored yet. */
  delay(generationId: string, error: RecordedError): Promise<void>
  /**
   * Records stored pictures, and the success with the last of them.
   * @returns `partial` while others of the generation are still to be stored, `gone` when it was deleted meanwhile.
   */
  recordImages(work: GenerationWork, bucket: string, images: StoredImage[], warnings: Warning[]): Promise<'recorded' | 'partial' | 'gone'>
  /** As `recordImages`. */
  recordVideos(work: GenerationWork, bucket: string, videos: StoredVideo[], warnings: Warning[]): Promise<'recorded' | 'partial' | 'gone'>
  /** @returns false when the generation had already ended, or when something that was paid for waits to be stored. */
  fail(generationId: string, error: RecordedError): Promise<boolean>
}
