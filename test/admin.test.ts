/** `npm run admin`, as an operator runs it: a process of its own beside a service that goes on. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runAdmin } from './support/audit.ts'

describe('npm run admin', () => {
  test('tells what there is, and what is wrong', async () => {
    const [help, none, unknown, of, option, argument, configuration] = await Promise.all([runAdmin(['--help']), runAdmin([]), runAdmin(['explode']), runAdmin(['erase', '--help']), runAdmin(['logs', '--colour']), runAdmin(['erase']), runAdmin(['rekey'], { SUPABASE_URL: '', STORAGE_MASTER_KEY: 'hunter2' })])
    assert.equal(help.code, 0)
    for (const name of ['erase', 'logs', 'rekey']) assert.match(help.output, new RegExp(`^  ${name}\\s+\\w`, 'm'))
    assert.deepEqual([none.code, none.output, none.errors.includes('rekey')], [2, '', true])
    assert.deepEqual([unknown.code, unknown.errors.split('\n')[0]], [2, 'There is no command explode.'])
    assert.deepEqual([of.code, of.errors], [0, ''])
    assert.match(of.output, /^npm run admin -- erase <user>/)
    assert.deepEqual([option.code, /--colour/.test(option.errors), / {4}at /.test(option.errors)], [2, true, false])
    assert.deepEqual([argument.code, /erase needs <user>/.test(argument.errors)], [2, true])
    assert.equal(configuration.code, 1)
    assert.match(configuration.errors, /- SUPABASE_URL is missing[\s\S]*- STORAGE_MASTER_KEY must be/)
    assert.ok(!configuration.errors.includes('hunter2'))
  })

  test('says plainly that the database is away', async () => {
    const { code, errors } = await runAdmin(['logs'], { DATABASE_URL: 'postgresql://u:hunter2@127.0.0.1:1/x' })
    assert.deepEqual([code, errors], [1, 'logs failed: The database cannot be reached right now. Try again in a moment.\n'])
  })
})
