/** Who still refers to a script, so that deleting it would break them (contract: scripts §5). */
import { type Context, type Removal, type Sql, targetKey } from '../model.ts'
import { placesJson } from './row-writer.ts'
import { isHubSync } from './script-read.ts'

/** Tables of triggers that name what they run. */
const triggers = [
  'http_trigger',
  'websocket_trigger',
  'kafka_trigger',
  'nats_trigger',
  'postgres_trigger',
  'mqtt_trigger',
  'sqs_trigger',
  'gcp_trigger',
  'azure_trigger',
  'email_trigger',
  'amqp_trigger'
] as const

interface Referrer {
  readonly workspace: string
  readonly path: string
  readonly noun: string
  readonly holder: string
}

/** Why scripts must stay, by target key. Scripts that go in the same breath hold nobody back, unless they have to stay. */
export async function scriptBlockers(
  sql: Sql,
  removals: readonly Removal[],
  context: Context
): Promise<ReadonlyMap<string, string>> {
  const blocked = new Map<string, string>()
  for (const { workspace, path } of removals) {
    if (isHubSync(workspace, path)) blocked.set(targetKey(workspace, path), 'Windmill itself needs this script.')
  }
  const referrers = await sql.unsafe<Referrer[]>(
    `with wanted as materialized (
       select j.workspace, j.path from jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text))
     select distinct w.workspace, w.path, r.noun, r.holder
       from wanted w join (${partsOf(context).join(' union all ')}) r on r.workspace = w.workspace and r.target = w.path
      order by 1, 2, 3, 4`,
    [placesJson(removals)]
  )
  const going = new Set(removals.map(one => targetKey(one.workspace, one.path)))
  for (let found = true; found; ) {
    found = false
    for (const { workspace, path, noun, holder } of referrers) {
      const target = targetKey(workspace, path)
      const other = targetKey(workspace, holder)
      if (
        blocked.has(target) ||
        (noun === 'script' && (other === target || (going.has(other) && !blocked.has(other))))
      ) {
        continue
      }
      blocked.set(target, `The ${noun} ${holder} still refers to it; change or delete that first.`)
      found = true
    }
  }
  return blocked
}

/** Queries of who (`noun`, `holder`) refers to which script (`workspace`, `target`). */
function partsOf({ capabilities }: Context): readonly string[] {
  const { has } = capabilities
  const within = 'in (select workspace from wanted)'
  const part = (noun: string, holder: string, target: string, from: string): string =>
    `select '${noun}' as noun, t.workspace_id::text as workspace, ${holder}::text as holder, ${target} as target
       from ${from} and t.workspace_id ${within}`
  const handlers = ['on_failure', 'on_recovery', 'on_success'].map(one =>
    part('schedule', 't.path', `substr(t.${one}, 8)`, `schedule t where t.${one} like 'script/%'`)
  )
  const known = triggers.filter(one => has(one, 'script_path') && has(one, 'is_flow'))
  return [
    part('schedule', 't.path', 't.script_path::text', 'schedule t where not t.is_flow'),
    ...handlers,
    ...(has('schedule', 'dynamic_skip')
      ? [part('schedule', 't.path', 't.dynamic_skip::text', 'schedule t where t.dynamic_skip is not null')]
      : []),
    ...known.map(one => part('trigger', 't.path', 't.script_path::text', `${one} t where not t.is_flow`)),
    part(
      'script',
      't.importer_path',
      't.imported_path::text',
      `dependency_map t where t.importer_kind = 'script' and exists (
         select from script s where s.workspace_id = t.workspace_id and s.path = t.importer_path and not s.archived)`
    ),
    ...(['flow', 'app'] as const).map(kind =>
      part(
        kind,
        't.importer_path',
        't.imported_path::text',
        `dependency_map t where t.importer_kind = '${kind}' and exists (
         select from ${kind} s where s.workspace_id = t.workspace_id and s.path = t.importer_path)`
      )
    ),
    part(
      'flow',
      't.path',
      `p.value #>> '{}'`,
      `flow t cross join lateral
       jsonb_path_query(t.value, '$.** ? (@.type == "script").path', '{}', true) as p(value) where not t.archived`
    ),
    part(
      'app',
      't.path',
      `substr(k.key, position(':script/' in k.key) + 8)`,
      `app t cross join lateral jsonb_object_keys(
         case when jsonb_typeof(t.policy->'triggerables_v2') = 'object' then t.policy->'triggerables_v2' else '{}' end ||
         case when jsonb_typeof(t.policy->'triggerables') = 'object' then t.policy->'triggerables' else '{}' end) as k(key)
       where k.key like '%:script/%'`
    )
  ]
}
