/**
 * The provider contract: what the core asks of a vendor, in the words of the AI SDK's specification. A provider says
 * what happened; retrying, downloading, storing and deciding belong to the core.
 */
import type { z } from 'zod'
import type { ProviderError } from '../errors.ts'

/** What the configuration reads for a provider; a provider without a key is simply off. */
export interface ProviderSetting {
  id: string
  /** The environment variable of its key. */
  keyVariable: string
  baseURLVariable: string
  /** The vendor's own address, used where the variable is not set. */
  baseURL: string
  /**
   * Where its results lie, for users to download: a host, or a suffix (`.example.com`) only where the vendor names one and
   * nobody else can have a name below it. None where a file asks for the service's key.
   */
  resultHosts?: readonly string[]
  /** Whether users may be let name any model of its, known here or not. */
  canBeOpen?: true
  /** Where there may be several of the kind: the variable that lists the names of further ones, and the setting of each. */
  more?: { variable: string; setting: (name: string) => ProviderSetting }
}

/** The configured values of a provider's variables. */
export interface ProviderConfig {
  /** The id of the setting that it was made by, where that is not its own. */
  kind?: string
  apiKey: string | undefined
  baseURL: string
}

export interface Size {
  width: number
  height: number
}

/** The vendor's id, and the family that decides the request's shape where the id does not tell. */
export interface VendorModel {
  vendorId: string
  family?: string | undefined
}

/** Something the vendor could not honour, told to the caller instead of failing. */
export interface Warning {
  type: 'unsupported' | 'adjusted' | 'deprecated' | 'partial' | 'other'
  /** The request's field, where the warning is about one. */
  setting?: string
  message: string
}

export interface ImageRequest {
  /** `edit` changes `images` as the prompt says; `remove-background` cuts out what `images[0]` shows: its prompt is for the row, not for the vendor. */
  task: 'generate' | 'edit' | 'remove-background'
  prompt: string
  size: Size
  /** Pictures to work on, cleaned and fitted to the model, the main one first; none to `generate`. */
  images: InputFile[]
  /** For `edit`: a PNG of the first picture's size, transparent where that may be changed. */
  mask?: InputFile | undefined
  seed?: number | undefined
  negativePrompt?: string | undefined
  /** Where the vendor may tell about changes; its news are never trusted unread. */
  callbackUrl?: string | undefined
  /** Validated by the provider's own `optionsSchema`. */
  providerOptions: Record<string, unknown>
}

/** The work that a model is asked for; a video is always generated. */
export type Task = ImageRequest['task']

/** A finished file: a link that will expire, or the bytes themselves. */
export type Output = { type: 'url'; url: string } | { type: 'bytes'; bytes: Uint8Array }

/** What the vendor calls a piece of work that it has taken on. Plain JSON: it is stored, and any process goes on with it. */
export type Operation = Record<string, unknown>

export interface VideoRequest {
  prompt: string
  /** Seconds. */
  duration: number
  /** Such as `16:9`. */
  aspectRatio: string
  /** Such as `720p`. */
  resolution: string
  seed?: number | undefined
  generateAudio?: boolean | undefined
  /** The picture that the video begins with, already cleaned and fitted to the model. */
  firstFrame?: InputFile | undefined
  /** Where the vendor may tell about changes; its news are never trusted unread. */
  callbackUrl?: string | undefined
  /** Validated by the provider's own `optionsSchema`. */
  providerOptions: Record<string, unknown>
}

export interface InputFile {
  bytes: Uint8Array
  mediaType: string
}

/**
 * What is stored before a paid call, sent with it, and echoed by the vendor's list, so that the work is found again when
 * the answer is lost.
 */
export type Mark = Record<string, unknown>

/** What the vendor says that it used, where it bills tokens. */
export interface Usage {
  textTokens?: number | undefined
  imageTokens?: number | undefined
  outputTokens: number
}

/** What a paid call gave: the files themselves, or an operation to be looked at until it has them. */
export type Started = ({ outputs: Output[] } | { operation: Operation }) & {
  warnings: Warning[]
  /** The vendor's own id of the request, for its support. */
  providerRequestId?: string | undefined
  /** What the vendor says that it charged, in millionths of a US dollar. */
  costMicros?: number | undefined
  usage?: Usage | undefined
}

/** One look at an operation. */
export type OperationState =
  | { status: 'queued' }
  /** `progress` from 0 to 1, where the vendor tells one. */
  | { status: 'running'; progress?: number }
  | { status: 'succeeded'; outputs: Output[]; costMicros?: number | undefined; usage?: Usage | undefined }
  /** Ended without a result. */
  | { status: 'failed'; error: ProviderError }
  | { status: 'cancelled' }
  /** A word that this service does not know: logged as an error and never taken for success. */
  | { status: 'unknown'; vendorStatus: string }

export interface FoundOperations {
  /** Those that carry the mark. Two are as good as none. */
  operations: Operation[]
  /** Whether there are others of which the vendor does not tell yet what would decide it. */
  isUndecided: boolean
}

/** One of a vendor's models. Those that answer at once have no `check`; those that give operations must. */
export interface MediaModel<Request> {
  /** What to remember before `start` and send with it, so that `find` can tell this work from any other. Called once for each start. */
  mark?(request: Request): Mark
  /**
   * Asks for one output. This costs money, so the core calls it at most once unless the failure proves that nothing was
   * accepted.
   * @throws {ProviderError} for every failure, with `charged` telling what is known of the bill.
   */
  start(request: Request, call: { signal: AbortSignal; mark: Mark }): Promise<Started>
  /**
   * Looks once.
   * @throws {ProviderError} `operation_lost` when the vendor does not know the operation any more; anything else says
   *   only that this look failed.
   */
  check?(operation: Operation, call: { signal: AbortSignal }): Promise<OperationState>
  /**
   * @returns whether it is stopped and will not be billed; false when the vendor goes on with it.
   * @throws {ProviderError} when that cannot be told now.
   */
  cancel?(operation: Operation, call: { signal: AbortSignal }): Promise<boolean>
  /**
   * Looks for the operation that was started with this mark.
   * @param call.since when the start began.
   * @throws {ProviderError}
   */
  find?(mark: Mark, call: { signal: AbortSignal; since: Date }): Promise<FoundOperations>
  /** The operation that a callback is about. The body is a stranger's: it says where to look and nothing more. */
  parseCallback?(body: unknown): Operation | undefined
}

export type ImageModel = MediaModel<ImageRequest>
export type VideoModel = MediaModel<VideoRequest>

export interface Provider {
  id: string
  /** Checks the vendor's `providerOptions`; unknown keys are errors. */
  optionsSchema: z.ZodType<Record<string, unknown>>
  /**
   * The one origin (scheme, host, port) whose results may be fetched although it is plain http or private, because the
   * operator configured that address.
   */
  trustedOrigin?: string
  /**
   * Headers without which one of the vendor's files is not given, such as its key; undefined for addresses that need none.
   * They are sent to that origin alone, never stored, and dropped at a redirect to another.
   */
  downloadHeaders?(url: string): Record<string, string> | undefined
  image?(model: VendorModel): ImageModel
  video?(model: VendorModel): VideoModel
  /**
   * A free call that proves the key and the connection; answers what the vendor said.
   * @throws {ProviderError}
   */
  probe?(call: { signal: AbortSignal }): Promise<unknown>
}
