/** Which linked variables a change of a resource is about, and what the audit log says of it. */
import { canonical } from '../fingerprint.ts'
import {
  type AuditEntry,
  type Context,
  type Kind,
  LINKED,
  type Removal,
  type Row,
  type Sql,
  targetKey,
  type Write
} from '../model.ts'
import { descriptionOf, isGeneratedBy, type Linked, readDeclared, referencedVariables } from './linked-variables.ts'
import type { Reference } from './references.ts'

/** Paths of the variables among the fields of a row. */
export const linkedOf = (fields: readonly string[]): readonly string[] =>
  fields.flatMap(field => (field.startsWith(LINKED) ? [field.slice(LINKED.length)] : []))

/** Paths whose ciphertext is to change, with what it is to be. */
function changed({
  row,
  live
}: {
  readonly row: Row
  readonly live?: Row
}): readonly { path: string; ciphertext: string }[] {
  return linkedOf(Object.keys(row)).flatMap(path => {
    const ciphertext = row[LINKED + path]
    return typeof ciphertext === 'string' && ciphertext !== live?.[LINKED + path] ? [{ path, ciphertext }] : []
  })
}

export function changedLinks(write: Write, context: Context): readonly Linked[] {
  const { live, listed, workspace, path: resource } = write
  const referenced = referencedVariables(live?.['value'])
  const description = descriptionOf(listed, context)
  return changed(write).map(({ path, ciphertext }) => {
    const wanted = { workspace, path, resource }
    const known = referenced.has(path) || isGeneratedBy(wanted, listed, context)
    return { ...wanted, ciphertext, description, known }
  })
}

/** A variable that the resource still names stays, for whoever declares it from now on. */
export function droppedLinks({ row, live }: { readonly row: Row; readonly live?: Row }): readonly string[] {
  const referenced = referencedVariables(row['value'])
  return linkedOf(Object.keys(row)).filter(
    path => row[LINKED + path] === null && typeof live?.[LINKED + path] === 'string' && !referenced.has(path)
  )
}

/** Removals with those of their variables that nobody else declares by now. */
export async function withDoomedLinks(
  sql: Sql,
  removals: readonly Removal[],
  context: Context
): Promise<readonly (Removal & { readonly linked: readonly string[] })[]> {
  const places = removals.flatMap(({ workspace, fields }) => linkedOf(fields).map(path => ({ workspace, path })))
  const declared = await readDeclared(sql, places, context)
  return removals.map(one => ({
    ...one,
    linked: linkedOf(one.fields).filter(path => !declared.has(targetKey(one.workspace, path)))
  }))
}

/** What others may call the resource or its variables. */
export const namesOf = ({ workspace, path, fields }: Removal): readonly Reference[] =>
  [`$res:${path}`, ...linkedOf(fields).map(one => `$var:${one}`)].map(text => ({ workspace, path, text }))

const entry = (table: string, action: AuditEntry['action'], resource: string): AuditEntry => ({
  operation: `${table}.${action}`,
  action,
  resource
})

/** One entry per row that really changes, as if it had been done through the API. */
export function auditResource(change: Parameters<Kind['audit']>[0]): readonly AuditEntry[] {
  if (!('row' in change)) {
    const linked = linkedOf(change.fields).filter(path => typeof change.live[LINKED + path] === 'string')
    return [entry('resources', 'delete', change.path), ...linked.map(path => entry('variables', 'delete', path))]
  }
  const { op, path, row, live } = change
  const own = Object.keys(row).filter(field => !field.startsWith(LINKED))
  const isChanged = op === 'create' || own.some(field => canonical(row[field]) !== canonical(live?.[field] ?? null))
  return [
    ...changed(change).map(one =>
      entry('variables', typeof live?.[LINKED + one.path] === 'string' ? 'update' : 'create', one.path)
    ),
    ...(isChanged ? [entry('resources', op, path)] : []),
    ...droppedLinks(change).map(one => entry('variables', 'delete', one))
  ]
}
