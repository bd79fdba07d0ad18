/** The compatibility triggers of job tables that no server has finalized yet: they fill the legacy `__*` columns. */
import type { Triggers } from './triggers.ts'

/** As all of them do: a write made by another trigger is left alone. */
const nested = 'if pg_trigger_depth() > 1 then return new; end if'

/** Marks a queue row that came the new way, for the trigger that runs after its insertion. */
const newStyle = 51_966

const columns: readonly (readonly [legacy: string, source: string])[] = [
  ['__parent_job', 'parent_job'],
  ['__created_by', 'created_by'],
  ['__script_hash', 'runnable_id'],
  ['__script_path', 'runnable_path'],
  ['__args', 'args'],
  ['__raw_code', 'raw_code'],
  ['__job_kind', 'kind'],
  ['__permissioned_as', 'permissioned_as'],
  ['__raw_flow', 'raw_flow'],
  ['__language', 'script_lang'],
  ['__raw_lock', 'raw_lock'],
  ['__email', 'permissioned_as_email'],
  ['__visible_to_owner', 'visible_to_owner']
]
const queueColumns: typeof columns = [
  ...columns,
  ['__same_worker', 'same_worker'],
  ['__pre_run_error', 'pre_run_error'],
  ['__root_job', 'flow_innermost_root_job'],
  ['__concurrent_limit', 'concurrent_limit'],
  ['__concurrency_time_window_s', 'concurrency_time_window_s'],
  ['__timeout', 'timeout'],
  ['__flow_step_id', 'flow_step_id'],
  ['__cache_ttl', 'cache_ttl']
]

const fill = (list: typeof columns): string =>
  list.map(([legacy, source]) => `select ${source} into new.${legacy} from v2_job where id = new.id;`).join('\n    ')

const shared = `select case when trigger_kind = 'schedule' then trigger end, flow_step_id is not null
      into new.__schedule_path, new.__is_flow_step from v2_job where id = new.id;`

const logs = (row: string): string => `if new.__logs is not null then
      insert into job_logs (job_id, workspace_id, logs) values (${row}.id, ${row}.workspace_id, ${row}.__logs)
      on conflict (job_id) do update set logs = concat(job_logs.logs, excluded.logs);
      new.__logs := null;
    end if`

export const jobTriggers: Triggers = {
  'v2_job.v2_job_after_update_trigger': {
    on: 'after update',
    when: 'old.args is distinct from new.args',
    body: `${nested};
  update v2_job_queue set __args = new.args where id = new.id;
  update v2_job_completed set __args = new.args where id = new.id`
  },
  'v2_job_queue.v2_job_queue_before_insert_trigger': {
    on: 'before insert',
    body: `${nested};
  if new.__created_by is null then
    ${fill(queueColumns)}
    ${shared}
    new.__canceled := new.canceled_by is not null;
    new.__env_id := ${newStyle};
  else
    ${logs('new')};
  end if`
  },
  'v2_job_queue.v2_job_queue_after_insert_trigger': {
    on: 'after insert',
    body: `${nested};
  if new.__env_id is not distinct from ${newStyle} then return new; end if;
  insert into v2_job (id, workspace_id, tag, created_at, created_by, permissioned_as, permissioned_as_email, kind,
                      runnable_id, runnable_path, parent_job, script_lang, args, raw_code, raw_lock, raw_flow, trigger, trigger_kind)
  values (new.id, new.workspace_id, new.tag, new.created_at, new.__created_by, new.__permissioned_as, new.__email, new.__job_kind,
          new.__script_hash, new.__script_path, new.__parent_job, new.__language, new.__args, new.__raw_code, new.__raw_lock,
          new.__raw_flow, new.__schedule_path, case when new.__schedule_path is not null then 'schedule'::job_trigger_kind end)
  on conflict (id) do update set args = excluded.args;
  insert into v2_job_runtime (id, ping, memory_peak) values (new.id, new.__last_ping, new.__mem_peak)
  on conflict (id) do update set ping = excluded.ping, memory_peak = excluded.memory_peak;
  if new.__flow_status is not null then
    insert into v2_job_status (id, flow_status, flow_leaf_jobs) values (new.id, new.__flow_status, new.__leaf_jobs)
    on conflict (id) do update set flow_status = excluded.flow_status, flow_leaf_jobs = excluded.flow_leaf_jobs;
  end if`
  },
  'v2_job_queue.v2_job_queue_before_update_trigger': {
    on: 'before update',
    body: `${nested};
  new.__canceled := new.canceled_by is not null;
  if new.__args is distinct from old.__args then update v2_job set args = new.__args where id = new.id; end if;
  if new.__last_ping is distinct from old.__last_ping or new.__mem_peak is distinct from old.__mem_peak then
    insert into v2_job_runtime (id, ping, memory_peak) values (new.id, new.__last_ping, new.__mem_peak)
    on conflict (id) do update set ping = excluded.ping, memory_peak = excluded.memory_peak;
  end if;
  if new.__flow_status is distinct from old.__flow_status then
    insert into v2_job_status (id, flow_status) values (new.id, new.__flow_status)
    on conflict (id) do update set flow_status = excluded.flow_status;
  end if;
  ${logs('new')}`
  },
  'v2_job_completed.v2_job_completed_before_insert_trigger': {
    on: 'before insert',
    body: `${nested};
  if new.__created_by is null then
    ${fill(columns)}
    ${shared}
    select created_at, tag, priority into new.__created_at, new.__tag, new.__priority from v2_job where id = new.id;
    new.__success := new.status = 'success';
    new.__canceled := new.status = 'canceled';
    new.__is_skipped := new.status = 'skipped';
  end if`
  },
  'v2_job_completed.v2_job_completed_before_update_trigger': {
    on: 'before update',
    body: `${nested};
  if new.__args is distinct from old.__args then update v2_job set args = new.__args where id = new.id; end if`
  },
  ...follower('v2_job_runtime', '__last_ping = new.ping, __mem_peak = new.memory_peak'),
  ...follower('v2_job_status', '__flow_status = new.flow_status, __leaf_jobs = new.flow_leaf_jobs')
}

/** Rows beside the queue are copied into the queue's legacy columns. */
function follower(table: string, set: string): Triggers {
  const body = `${nested};\n  update v2_job_queue set ${set} where id = new.id`
  return {
    [`${table}.${table}_before_insert_trigger`]: { on: 'before insert', body },
    [`${table}.${table}_before_update_trigger`]: { on: 'before update', body }
  }
}
