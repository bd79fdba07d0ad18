import { SyncError } from '../src/errors.ts'
import { checkTimezone, loadNextAfter, normaliseCron } from '../src/windmill/cron.ts'
import { occurrences } from './support/cron-table.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('cron')

const seconds = (date: Date | undefined): string => date?.toISOString().replace('.000Z', 'Z') ?? 'never'

test('occurrences are those of a table that was worked out without the library', async () => {
  const nextAfter = await loadNextAfter()
  const rows = occurrences.trim().split('\n')
  assert.ok(rows.length >= 300)
  const wrong = rows.filter(row => {
    const [text = '', zone = '', from = '', expected = ''] = row.split(' | ')
    checkTimezone(zone)
    const { expression } = normaliseCron(text)
    let at: Date | undefined = new Date(from)
    const found = [1, 2, 3].map(() => seconds((at = at && nextAfter(expression, zone, at))))
    return found.join(' ') !== expected
  })
  assert.equal(wrong, [])
})

/** Worked out by hand from the dates of the changes. */
const changes: readonly (readonly [what: string, cron: string, zone: string, from: string, next: readonly string[]])[] =
  [
    [
      'a fixed time in the gap runs when the gap ends',
      '30 2 * * *',
      'Europe/Paris',
      '2026-03-28T12:00:00Z',
      ['2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z']
    ],
    ['a pattern skips the gap', '*/30 2 * * *', 'Europe/Paris', '2026-03-28T12:00:00Z', ['2026-03-30T00:00:00Z']],
    [
      'a fixed time in the repeated hour runs once',
      '30 2 * * *',
      'Europe/Paris',
      '2026-10-24T12:00:00Z',
      ['2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z']
    ],
    [
      'a fixed time does not run in the second pass',
      '30 2 * * *',
      'Europe/Paris',
      '2026-10-25T00:30:00Z',
      ['2026-10-26T01:30:00Z']
    ],
    [
      'within the second pass the next minute is the next minute',
      '* * * * *',
      'Europe/Paris',
      '2026-10-25T01:10:00Z',
      ['2026-10-25T01:11:00Z']
    ],
    [
      'an hourly schedule runs in both passes',
      '0 * * * *',
      'America/New_York',
      '2026-11-01T04:30:00Z',
      ['2026-11-01T05:00:00Z', '2026-11-01T06:00:00Z', '2026-11-01T07:00:00Z']
    ],
    [
      'half an hour may be repeated, too',
      '*/20 1 * * *',
      'Australia/Lord_Howe',
      '2026-04-04T14:10:00Z',
      ['2026-04-04T14:20:00Z', '2026-04-04T14:40:00Z', '2026-04-04T15:10:00Z', '2026-04-05T14:30:00Z']
    ]
  ]

for (const [what, cron, zone, from, expected] of changes) {
  test(`when clocks change: ${what}`, async () => {
    const nextAfter = await loadNextAfter()
    let at: Date | undefined = new Date(from)
    const found = expected.map(() => seconds((at = at && nextAfter(normaliseCron(cron).expression, zone, at))))
    assert.equal(found, expected)
  })
}

test('no occurrence is at or before the instant, whatever the minute of the changes', async () => {
  const nextAfter = await loadNextAfter()
  for (const zone of ['Europe/Paris', 'Australia/Lord_Howe', 'America/Havana', 'Africa/Cairo']) {
    for (const start of [
      '2026-03-08',
      '2026-03-29',
      '2026-04-04',
      '2026-04-23',
      '2026-10-03',
      '2026-10-25',
      '2026-10-29'
    ]) {
      for (let minute = 0; minute < 1440; minute += 7) {
        const from = new Date(Date.parse(start) + minute * 60_000 + 250)
        for (const cron of ['0 * * * * *', '0 */20 * * * *', '0 30 1 * * *', '0 0 * * * *', '0 30 0-3 * * *']) {
          const next = nextAfter(cron, zone, from)
          assert.ok(next && next > from, `${cron} ${zone} ${from.toISOString()}`)
        }
      }
    }
  }
})

test('an expression that never occurs has no next occurrence', async () => {
  const nextAfter = await loadNextAfter()
  assert.is(nextAfter('0 0 0 30 2 *', 'UTC', new Date('2026-01-01T00:00:00Z')), undefined)
})

/** What is stored, in the form that all parsers of Windmill read alike. */
const forms: Readonly<Record<string, string>> = {
  '0 * * * *': '0 0 * * * *',
  '  */5   *  * * * ': '0 */5 * * * *',
  '30 0 0 * * *': '30 0 0 * * *',
  '0 0 0 * * 1-5': '0 0 0 * * 1-5',
  '0 9 * * mon-fri': '0 0 9 * * MON-5',
  '0 9 * * FRI-SUN': '0 0 9 * * FRI-7',
  '0 9 * * MON,Wed': '0 0 9 * * MON,WED',
  '0 9 * jan-mar *': '0 0 9 * JAN-3 *',
  '0/6 * * * *': '0 0-59/6 * * * *',
  '0 2/9 * * *': '0 0 2-23/9 * * *',
  '0 0 1/10 * *': '0 0 0 1-31/10 * *',
  '0 0 1 JAN/3 *': '0 0 0 1 1-12/3 *',
  '*/60 * * * *': '0 0 * * * *',
  '5-10/20 * * * *': '0 5 * * * *',
  '0 0 ? * MON': '0 0 0 ? * MON',
  '? ? * * *': '0 * * * * *',
  '0 0 L * *': '0 0 0 L * *',
  '0 0 1,l * *': '0 0 0 1,L * *',
  '0 0 15w * *': '0 0 0 15W * *',
  '0 0 * * 5L': '0 0 0 * * 5L',
  '0 0 * * FRIL': '0 0 0 * * 5L',
  '0 0 * * 7#L': '0 0 0 * * 0#L',
  '0 0 * * MON#2': '0 0 0 * * 1#2',
  '@daily': '0 0 0 * * *',
  '@Midnight': '0 0 0 * * *',
  '@hourly': '0 0 * * * *',
  '@weekly': '0 0 0 * * 0',
  '@monthly': '0 0 0 1 * *',
  '@yearly': '0 0 0 1 1 *',
  '@annually': '0 0 0 1 1 *'
}

test('five fields, nicknames and steps are stored in the portable form, which stays as it is', () => {
  for (const [text, expected] of Object.entries(forms)) {
    assert.is(normaliseCron(text).expression, expected, text)
    assert.is(normaliseCron(expected).expression, expected, expected)
  }
})

const refusals: Readonly<Record<string, RegExp>> = {
  '0 0 * *': /4 fields; write five/,
  '': /fields; write five/,
  '0 0 0 * * * 2027': /field for the year, leave it out/,
  '@reboot': /no nickname.*@daily/,
  '@every 5m': /no nickname/,
  '0 22-4 * * *': /hour 22-4 runs backwards; write 22-23,0-4/,
  '0 0 * * FRI-MON': /runs backwards; write 5-6,0-1/,
  '50-10 * * * *': /minute 50-10 runs backwards; write 50-59,0-10/,
  'H * * * *': /minute H is of Jenkins/,
  'H/5 * * * *': /is of Jenkins/,
  '0 *,5 * * *': /cannot stand in a list/,
  '0 5,* * * *': /cannot stand in a list/,
  '0 5,,6 * * *': /remove the comma/,
  '0 0 LW * *': /write L for the last day/,
  '0 0 L-3 * *': /write the days as numbers/,
  '0 0 * * L': /never occurs; write SATL/,
  '0 0 * * +MON': /leave out the \+/,
  '0 0 * * 1/2': /write a range such as 1-6\/2/,
  '0 0 * * MONDAY': /in full; write MON/,
  '0 0 * JANUARY *': /in full; write JAN/,
  '0 0 * * FOO': /is no name; write SUN/,
  '0 0 * * MON#6': /first to fifth/,
  '0 0 * * 8': /from 0 to 7/,
  '60 * * * *': /minute 60 is out of range; the numbers go from 0 to 59/,
  '0 24 * * *': /hour 24/,
  '0 0 0 * *': /from 1 to 31/,
  '0 0 * 13 *': /from 1 to 12/,
  '*/0 * * * *': /no positive number/,
  '/5 * * * *': /write \*\/5/,
  '1/2/3 * * * *': /two steps/,
  '1-2-3 * * * *': /write it as a-b/,
  'a * * * *': /minute a is no number/,
  '1.5 * * * *': /no number/,
  '-5 * * * *': /no number/,
  '0 0 32W * *': /from 1 to 31|no number/,
  '0 0 W * *': /no number/
}

test('what Windmill refuses, or its parsers read in different ways, is refused with the fix', () => {
  for (const [text, message] of Object.entries(refusals)) {
    try {
      normaliseCron(text)
      assert.unreachable(`${text} was taken`)
    } catch (error) {
      assert.instance(error, SyncError, text)
      assert.is((error as SyncError).code, 'InvalidSpec')
      assert.match((error as SyncError).message, message, text)
    }
  }
})

test('a meaning that may surprise is said', () => {
  assert.match(normaliseCron('0 0 */2 * MON').notes.join(), /either the day of month or the day of week/)
  assert.match(normaliseCron('0 0 31W * *').notes.join(), /W at the ends of months/)
  assert.equal(normaliseCron('0 0 13 * FRI').notes, [])
})

test('time zones are taken in their exact spelling only, links included', () => {
  for (const name of [
    'UTC',
    'Europe/Paris',
    'US/Eastern',
    'EST',
    'Etc/GMT+2',
    'Asia/Kolkata',
    'Asia/Calcutta',
    'Europe/Kyiv'
  ])
    checkTimezone(name)
  const refuse = (name: string, message: RegExp): void => assert.throws(() => checkTimezone(name), message)
  refuse('europe/paris', /write Europe\/Paris/)
  refuse('utc', /write UTC/)
  for (const name of ['+02:00', 'Z', 'Local', 'Europe/Atlantis', 'localtime', ''])
    refuse(name, /no time zone that Windmill knows/)
})

test.run()
