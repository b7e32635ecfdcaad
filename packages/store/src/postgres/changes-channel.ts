/** LISTEN/NOTIFY channel; the payload is `<commit id> <writer>`. */
export const changesChannel = 'selvedge_changes';
