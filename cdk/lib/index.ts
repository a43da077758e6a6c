/** What an app imports from the package: docs/library.md. */

export { FunctionAssets } from './assets';
export {
  type ArchiveConfig,
  type ConsumerConfig,
  type DispatchConfig,
  type IngestConfig,
  type ItemsConfig,
  type LogConfig,
  type NetworkConfig,
  type ProvisionedCapacity,
  type RecordsConfig,
  type StreamConfig,
  type TidegateProps,
} from './config';
export { CloudFrontEdge, type CloudFrontEdgeProps } from './edge/cloud-front-edge';
export { HttpApiEdge, type HttpApiEdgeProps } from './edge/http-api-edge';
export { Tidegate } from './tidegate';
