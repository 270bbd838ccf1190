// An update is taken back, or its source loaded, before anything is pulled back through it. Mirror: pair_late.wgsl.

fn before_pull(entry: Entry, n: u32) {
    take_back(entry);
    drift_ahead(entry, n);
}

fn use_value(i: u32) {}
