/** Routes of apps (`customPath`): public, unique on the instance, which the database does not see to (flows-and-apps B6). */
import { SyncError } from '../errors.ts'
import { type Context, type Listed, type Sql, targetKey, type Write } from '../model.ts'
import { nameOf } from './linked-variables.ts'
import { placesJson } from './row-writer.ts'

/** A CR with the route that it states. */
export interface RouteWish {
  readonly workspace: string
  readonly path: string
  readonly listed: Pick<Listed, 'kind' | 'namespace' | 'name' | 'createdAt'>
  /** Undefined: not stated. '' : none. */
  readonly route: string | undefined
}

interface Holder {
  readonly workspace: string
  readonly path: string
}

interface Held extends Holder {
  readonly route: string
}

export interface Routes {
  /** Whoever else will have the route, by `targetKey` of the app that wants it. */
  readonly takenBy: ReadonlyMap<string, string>
}

/** With this setting a route is the workspace's own. */
const isPerWorkspace = (sql: Sql) =>
  sql`exists (select from global_settings g where g.name = 'app_workspaced_route' and g.value = 'true'::jsonb)`

/** Apps that have one of the routes, and whether routes are a workspace's own. */
async function holdersOf(sql: Sql, routes: readonly string[]): Promise<readonly (Held & { own: boolean })[]> {
  return sql<(Held & { own: boolean })[]>`
    select a.custom_path as route, a.workspace_id as workspace, a.path, ${isPerWorkspace(sql)} as own
      from app a where a.custom_path in (select jsonb_array_elements_text(${JSON.stringify(routes)}::text::jsonb))`
}

/**
 * Who holds the wanted routes, as things will be: an app that this batch gives another route holds its old one no more,
 * nor does one that the CR itself stood for until now (a rename); of two CRs that want the same the older one gets it.
 */
export async function findRoutes(sql: Sql, wishes: readonly RouteWish[], context: Context): Promise<Routes> {
  const wanted = wishes.filter(one => one.route)
  if (wanted.length === 0) return { takenBy: new Map() }
  const [setting] = await sql<{ own: boolean }[]>`select ${isPerWorkspace(sql)} as own`
  const routes = wanted.map(one => one.route ?? '')
  const holders = await holdersOf(sql, routes)
  const owners = await ownersOf(sql, wanted, holders, context)
  const later = new Map(wishes.map(one => [targetKey(one.workspace, one.path), one.route]))
  const takenBy = new Map<string, string>()
  for (const wish of wanted) {
    const rivals = [
      ...holders.filter(one => one.route === wish.route && keeps(one, later) && !isLeft(one, wish.listed, owners)),
      ...wanted.filter(one => one.route === wish.route && isOlder(one, wish))
    ]
    const rival = rivals.find(one => !isSame(one, wish) && (!setting?.own || one.workspace === wish.workspace))
    if (rival) takenBy.set(targetKey(wish.workspace, wish.path), holderName(rival, wish))
  }
  return { takenBy }
}

const keeps = (holder: Held, wishes: ReadonlyMap<string, string | undefined>): boolean => {
  const wish = wishes.get(targetKey(holder.workspace, holder.path))
  return wish === undefined || wish === holder.route
}

/** Whether the CR stood for that app and now stands for another. */
const isLeft = (
  { workspace, path }: Holder,
  listed: Pick<Listed, 'kind' | 'namespace' | 'name'>,
  owners: ReadonlyMap<string, string>
): boolean => owners.get(targetKey(workspace, path)) === nameOf(listed)

/** CRs of the same kind that own the apps, by target key. */
const ownersOf = async (
  sql: Sql,
  [one]: readonly { readonly listed: Pick<Listed, 'kind'> }[],
  holders: readonly Holder[],
  context: Context
): Promise<ReadonlyMap<string, string>> =>
  (one && (await context.ownersOf?.(sql, one.listed.kind, holders))) ?? new Map()

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

const isNew = ({ row, live }: Write): boolean =>
  typeof row['customPath'] === 'string' && row['customPath'] !== live?.['customPath']

const routesOf = (writes: readonly Write[]): readonly string[] =>
  writes.flatMap(({ row: { customPath: route } }) => (typeof route === 'string' ? [route] : []))

/**
 * Whoever gives routes waits for others who do, as no index stops two from giving the same one; and apps that CRs have
 * left for new paths give up theirs.
 */
export async function holdRoutes(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  const giving = writes.filter(isNew)
  if (giving.length === 0) return
  await sql`select pg_advisory_xact_lock(hashtextextended('windmill_iac: routes of apps', 0))`
  const holders = await holdersOf(sql, routesOf(giving))
  const owners = await ownersOf(sql, giving, holders, context)
  const left = holders.filter(holder =>
    giving.some(
      one =>
        one.row['customPath'] === holder.route &&
        !isSame(one, holder) &&
        (!holder.own || one.workspace === holder.workspace) &&
        isLeft(holder, one.listed, owners)
    )
  )
  await sql`
    update app a set custom_path = null
      from jsonb_to_recordset(${placesJson(left)}::text::jsonb) as j(workspace text, path text)
     where a.workspace_id = j.workspace and a.path = j.path`
}

/** The last look, when the rows are written. */
export async function proveRoutes(sql: Sql, writes: readonly Write[]): Promise<void> {
  const routes = routesOf(writes.filter(isNew))
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
