import { AppError } from '../errors.ts'

/** A user's link that leads where no download may. Of it only the host may be logged: the rest can hold secrets. */
export class RefusedLinkError extends AppError {
  readonly host: string

  /** @param why goes on from "This link cannot be downloaded:". */
  constructor(host: string, why: string) {
    super('forbidden', `This link cannot be downloaded: ${why}.`)
    this.name = 'RefusedLinkError'
    this.host = host
  }
}
