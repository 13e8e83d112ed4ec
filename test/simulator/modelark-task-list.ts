/** Which tasks a list call asks for. */
import type { TaskRecord } from './modelark-tasks.ts'

const STATUSES = ['queued', 'running', 'cancelled', 'succeeded', 'failed', 'expired']
const PARAMETERS = ['page_num', 'page_size', 'filter.status', 'filter.model', 'filter.task_ids', 'filter.service_tier']

export interface ListQuery {
  /** From 1. */
  page: number
  size: number
  matches(task: TaskRecord, status: string): boolean
}

/** Undefined for a query that is not one; a parameter nobody knows is an error, so that a misspelt filter is noticed. */
export function toListQuery(query: URLSearchParams): ListQuery | undefined {
  const [page, size] = [Number(query.get('page_num') ?? 1), Number(query.get('page_size') ?? 20)]
  if ([page, size].some((number) => !Number.isInteger(number) || number < 1 || number > 500)) return undefined
  if ([...query.keys()].some((name) => !PARAMETERS.includes(name))) return undefined
  const status = query.get('filter.status')
  // Flex tasks show only to those who ask for them.
  const tier = query.get('filter.service_tier') ?? 'default'
  const model = query.get('filter.model')
  const ids = query.getAll('filter.task_ids')
  if ((status !== null && !STATUSES.includes(status)) || !['default', 'flex'].includes(tier)) return undefined
  return {
    page,
    size,
    matches: (task, current) =>
      (status === null || status === current) &&
      tier === (task.body.service_tier ?? 'default') &&
      (model === null || [task.body.model, task.order.model].includes(model)) &&
      (ids.length === 0 || ids.includes(task.id)),
  }
}
