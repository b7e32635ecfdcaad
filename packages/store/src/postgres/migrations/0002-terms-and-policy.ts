import type { Migration } from './index.ts';

/** How releases are activated, how items are removed, and the sites' own rules. */
export const termsAndPolicy: Migration = {
  version: 2,
  sql: `
    -- terms: JSON of ItemTerms. removal: RemovalMode of a tombstone.
    ALTER TABLE delivery
      ADD COLUMN terms text NOT NULL DEFAULT '{"activate":"Window","attempt":1,"prepareSeconds":3600}',
      ADD COLUMN removal text NOT NULL DEFAULT 'Delete';

    -- policy: JSON of SitePolicy.
    ALTER TABLE site_state ADD COLUMN policy text NOT NULL DEFAULT '{"timeZone":"UTC"}';

    -- They are part of what a site is told, and under one epoch it is never told two things.
    UPDATE site_state SET epoch = epoch + 1;
  `,
};
