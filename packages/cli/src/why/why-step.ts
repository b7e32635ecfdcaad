/** One link of the chain. */
export interface WhyStep {
  readonly topic:
    | 'Placement'
    | 'Guard'
    | 'Source'
    | 'Release'
    | 'Rollout'
    | 'Wave'
    | 'Gate'
    | 'Assignment'
    | 'Site'
    | 'Hold'
    | 'Window'
    | 'Report'
    | 'Drift'
    | 'Local'
    | 'Waiting'
    | 'Running';
  readonly text: string;
  /** When what `text` says came to be. */
  readonly time?: string;
  /** This link is what is wrong. */
  readonly isFault?: boolean;
}
