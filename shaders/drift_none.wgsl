// No method with a drift, or no gradient with respect to times. Mirror: drift.wgsl.

fn drift_ahead(entry: Entry, n: u32) {}

fn drift_behind(entry: Entry, n: u32) {}
