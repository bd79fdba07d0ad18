/** Routes of apps (`customPath`): public, unique on the instance, which the database does not see to (flows-and-apps B6). */
import { SyncError } from '../errors.ts'
import { type Listed, type Sql, targetKey, type Write } from '../model.ts'

/** A CR with the route that it states. */
export interface RouteWish {
  readonly workspace: string
  readonly path: string
  readonly listed: Pick<Listed, 'namespace' | 'name' | 'createdAt'>
  /** Undefined: not stated. '' : none. */
  readonly route: string | undefined
}

interface Holder {
  readonly workspace: string
  readonly path: string
}

export interface Routes {
  /** Whoever else will have the route, by `targetKey` of the app that wants it. */
  readonly takenBy: ReadonlyMap<string, string>
}

/** With this setting a route is the workspace's own. */
const isPerWorkspace = (sql: Sql) =>
  sql`exists (select from global_settings g where g.name = 'app_workspaced_route' and g.value = 'true'::jsonb)`

/**
 * Who holds the wanted routes, as things will be: an app that this batch gives another route holds its old one no more,
 * and of two CRs that want the same the older one gets it.
 */
export async function findRoutes(sql: Sql, wishes: readonly RouteWish[]): Promise<Routes> {
  const wanted = wishes.filter(one => one.route)
  if (wanted.length === 0) return { takenBy: new Map() }
  const rows = await sql<(Holder & { route: string; perWorkspace: boolean })[]>`
    select r.route, a.workspace_id as workspace, a.path, ${isPerWorkspace(sql)} as "perWorkspace"
      from (select distinct j as route
              from jsonb_array_elements_text(${JSON.stringify(wanted.map(one => one.route))}::text::jsonb) j) r
      left join app a on a.custom_path = r.route`
  const perWorkspace = rows[0]?.perWorkspace ?? false
  const leaving = new Map(wishes.map(one => [targetKey(one.workspace, one.path), one.route]))
  const takenBy = new Map<string, string>()
  for (const wish of wanted) {
    const rivals = [
      ...rows.filter(one => one.route === wish.route && one.path !== null && keeps(one, leaving)),
      ...wanted.filter(one => one.route === wish.route && isOlder(one, wish))
    ]
    const rival = rivals.find(one => !isSame(one, wish) && (!perWorkspace || one.workspace === wish.workspace))
    if (rival) takenBy.set(targetKey(wish.workspace, wish.path), holderName(rival, wish))
  }
  return { takenBy }
}

const keeps = (holder: Holder & { route: string }, wishes: ReadonlyMap<string, string | undefined>): boolean => {
  const wish = wishes.get(targetKey(holder.workspace, holder.path))
  return wish === undefined || wish === holder.route
}

const isSame = (a: Holder, b: Holder): boolean => a.workspace === b.workspace && a.path === b.path

function isOlder({ listed: a }: RouteWish, { listed: b }: RouteWish): boolean {
  const [first, second] = [a, b].map(one => `${one.createdAt}\0${one.namespace}/${one.name}`)
  return (first ?? '') < (second ?? '')
}

/** What other workspaces hold is not told by name: whoever writes manifests may not see them. */
const holderName = (holder: Holder, wish: Holder): string =>
  holder.workspace === wish.workspace ? `the app ${holder.path}` : 'an app of another workspace'

/** Throws TakenBySomebodyElse. */
export function refuseTakenRoute({ workspace, path, route }: Omit<RouteWish, 'listed'>, { takenBy }: Routes): void {
  const holder = route ? takenBy.get(targetKey(workspace, path)) : undefined
  if (holder === undefined) return
  throw new SyncError(
    'TakenBySomebodyElse',
    `customPath: ${holder} has the route ${route} already; choose another one or take it away there.`
  )
}

const newRoutes = (writes: readonly Write[]): readonly string[] =>
  writes.flatMap(({ row, live }) => {
    const route = row['customPath']
    return typeof route === 'string' && route !== live?.['customPath'] ? [route] : []
  })

/** Whoever gives routes waits for others who do: no index would stop two from giving the same one. */
export async function holdRoutes(sql: Sql, writes: readonly Write[]): Promise<void> {
  if (newRoutes(writes).length === 0) return
  await sql`select pg_advisory_xact_lock(hashtextextended('windmill_iac: routes of apps', 0))`
}

/** The last look, when the rows are written. */
export async function proveRoutes(sql: Sql, writes: readonly Write[]): Promise<void> {
  const routes = newRoutes(writes)
  if (routes.length === 0) return
  const [double] = await sql<{ route: string }[]>`
    select a.custom_path as route from app a
     where a.custom_path in (select jsonb_array_elements_text(${JSON.stringify(routes)}::text::jsonb))
     group by a.custom_path, case when ${isPerWorkspace(sql)} then a.workspace_id end
    having count(*) > 1 order by 1 limit 1`
  if (!double) return
  throw new SyncError(
    'TakenBySomebodyElse',
    `customPath: another app has the route ${double.route} already; choose another one or take it away there.`
  )
}
