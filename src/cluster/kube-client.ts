/** The one name of the client library that is used: a static import lets the bundle leave out the rest (3.5 MB). */
export { KubeConfig } from '@kubernetes/client-node'
