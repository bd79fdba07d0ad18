/** OAuth accounts: Windmill alone writes their variables (contract: variables-and-resources §1.5). */

export const oauthLocked =
  'Windmill refreshes this variable from an OAuth account; remove the CR or choose another path.'

/** The note for fields that the RFC has and that only Windmill's own connect flow can make true. */
export function oauthNotes(spec: { readonly isOauth?: boolean; readonly accountId?: number }): readonly string[] {
  const stated = [...(spec.isOauth ? ['isOauth'] : []), ...(spec.accountId !== undefined ? ['accountId'] : [])]
  return stated.length > 0 ? [`${stated.join(', ')}: OAuth accounts are managed by Windmill; ignored.`] : []
}
