/**
 * The provider contract: what the core asks of a vendor, in the words of the AI SDK's specification. A provider says
 * what happened; retrying, downloading, storing and deciding belong to the core.
 */
import type { z } from 'zod'

/** What the configuration reads for a provider; a provider without a key is simply off. */
export interface ProviderSetting {
  id: string
  /** The environment variable of its key. */
  keyVariable: string
  baseURLVariable: string
  /** The vendor's own address, used where the variable is not set. */
  baseURL: string
}

/** The configured values of a provider's variables. */
export interface ProviderConfig {
  apiKey: string | undefined
  baseURL: string
}

export interface Size {
  width: number
  height: number
}

/** Something the vendor could not honour, told to the caller instead of failing. */
export interface Warning {
  type: 'unsupported' | 'adjusted' | 'deprecated' | 'partial' | 'other'
  /** The request's field, where the warning is about one. */
  setting?: string
  message: string
}

export interface ImageRequest {
  prompt: string
  size: Size
  seed?: number | undefined
  negativePrompt?: string | undefined
  /** Validated by the provider's own `optionsSchema`. */
  providerOptions: Record<string, unknown>
}

/** A finished file: a link that will expire, or the bytes themselves. */
export type Output = { type: 'url'; url: string } | { type: 'bytes'; bytes: Uint8Array }

export interface StartedImage {
  outputs: Output[]
  warnings: Warning[]
  /** The vendor's own id of the request, for its support. */
  providerRequestId?: string
}

export interface ImageModel {
  /**
   * Makes one picture. This costs money, so the core calls it at most once unless the failure proves that nothing was
   * accepted.
   * @throws {ProviderError} for every failure, with `charged` telling what is known of the bill.
   */
  start(request: ImageRequest, call: { signal: AbortSignal }): Promise<StartedImage>
}

export interface Provider {
  id: string
  /** Checks the vendor's `providerOptions`; unknown keys are errors. */
  optionsSchema: z.ZodType<Record<string, unknown>>
  /**
   * The one origin (scheme, host, port) whose results may be fetched although it is plain http or private, because the
   * operator configured that address.
   */
  trustedOrigin?: string
  /** @param model the vendor's id, and the family that decides the request's shape where the id does not tell. */
  image?(model: { vendorId: string; family?: string | undefined }): ImageModel
  /**
   * A free call that proves the key and the connection; answers what the vendor said.
   * @throws {ProviderError}
   */
  probe?(call: { signal: AbortSignal }): Promise<unknown>
}
