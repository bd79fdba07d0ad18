/** What --help says: made from the settings that are parsed. */
import { commands, type Setting, settings } from './settings.ts'

/** The text of --help. */
export function helpText(version: string): string {
  const left = (one: Setting): string =>
    `  ${one.short ? `-${one.short}, ` : '    '}--${one.option}${one.value ? ` ${one.value}` : ''}`
  const width = Math.max(...settings.map(one => left(one).length)) + 2
  const line = (one: Setting): string => {
    const fallback = one.fallback ?? one.fallbackText
    const tail = [one.variable && `$${one.variable}`, fallback && `default: ${fallback}`, one.commands?.join(', ')]
    const notes = tail.filter(Boolean).join('; ')
    return `${left(one).padEnd(width)}${one.help}${notes ? ` [${notes}]` : ''}`
  }
  return [
    `windmill-iac ${version}: makes a Windmill instance follow Kubernetes custom resources.`,
    '',
    'Usage: windmill-iac [command] [options]',
    '       windmill-iac validate PATH… [-o text|json]',
    '',
    'Commands:',
    ...Object.entries(commands).map(([name, help]) => `  ${name.padEnd(12)}${help}`),
    '',
    'Options:',
    ...settings.map(line),
    '',
    'Also: DATABASE_URL_FILE (a file that holds the URL), SECRET_SALT (must equal that of the Windmill servers),',
    'KUBECONFIG, HTTPS_PROXY, NO_PROXY.',
    '',
    'Exit codes: 0 in sync (validate: no fault; export: complete); 1 some objects are not; 2 changes pending (plan --exit-code); 3 refused',
    '(schema, guard, unreadable listing, wrong key); 4 cluster or database unreachable, not allowed or busy; 5 usage.',
    ''
  ].join('\n')
}
