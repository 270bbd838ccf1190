//! `costate adapters`: what was found, what it grants, which one would be taken.

use costate::{AdapterSummary, Gpu, Result};
use serde::Serialize;

use super::{Outcome, request};
use crate::cli::Global;
use crate::output;

#[derive(Serialize)]
struct Report<'a> {
    adapters: Vec<Entry<'a>>,
    chosen: Option<usize>,
    reason: String,
}

#[derive(Serialize)]
struct Entry<'a> {
    index: usize,
    name: &'a str,
    driver: &'a str,
    backend: &'a str,
    kind: &'static str,
    max_binding_bytes: u64,
    max_buffer_bytes: u64,
    workgroup_bytes: u32,
    subgroup: Subgroup,
    usable: bool,
    lacks: Option<&'a str>,
    chosen: bool,
}

#[derive(Serialize)]
struct Subgroup {
    min: u32,
    max: u32,
}

/// Lists the adapters.
pub(crate) fn run(global: &Global) -> Result<Outcome> {
    let found = costate::adapters();
    let opened = Gpu::new(&request(global));
    let chosen = opened.as_ref().ok().and_then(|_| choice(&found, global.adapter.as_deref()));
    let reason = match (&opened, chosen.and_then(|i| found.get(i))) {
        (Err(e), _) => e.to_string(),
        (Ok(_), Some(adapter)) => why(adapter, global.adapter.as_deref()),
        (Ok(gpu), None) => format!("{} is taken", gpu.adapter()),
    };
    if global.json {
        let adapters = found.iter().enumerate().map(|(i, a)| entry(i, a, chosen == Some(i))).collect();
        output::print_json(&Report { adapters, chosen, reason })?;
    } else if !found.is_empty() {
        let rows = found.iter().enumerate().map(|(i, a)| row(i, a, chosen == Some(i)));
        let header = ["", "name", "driver", "kind", "binding", "buffer", "workgroup", "subgroup", "usable"];
        let mut text = output::table(header, 0, rows);
        if opened.is_ok() {
            text = format!("{text}\n\n{reason}");
        }
        output::print(&text)?;
    }
    opened.map(|_| Outcome::Done)
}

/// The index that the library takes for this request: a number in the list, else a part of a name, usable ones first.
fn choice(found: &[AdapterSummary], wanted: Option<&str>) -> Option<usize> {
    let Some(wanted) = wanted else { return found.iter().position(|a| a.preferred) };
    let index = wanted.parse().ok().filter(|index| *index < found.len());
    index.or_else(|| {
        let wanted = wanted.to_lowercase();
        let named = |a: &AdapterSummary| a.name.to_lowercase().contains(&wanted);
        let usable = found.iter().position(|a| named(a) && a.lacks.is_none());
        usable.or_else(|| found.iter().position(named))
    })
}

fn why(adapter: &AdapterSummary, wanted: Option<&str>) -> String {
    match wanted {
        Some(wanted) => format!("{} is taken: --adapter {wanted} names it", adapter.name),
        None => format!(
            "{} is taken: it is the first usable {}, and the order of choice is discrete GPU, integrated GPU, virtual \
             GPU, other, software; --adapter takes another",
            adapter.name, adapter.kind
        ),
    }
}

fn entry(index: usize, adapter: &AdapterSummary, chosen: bool) -> Entry<'_> {
    Entry {
        index,
        name: &adapter.name,
        driver: &adapter.driver,
        backend: &adapter.backend,
        kind: adapter.kind,
        max_binding_bytes: adapter.max_binding_bytes,
        max_buffer_bytes: adapter.max_buffer_bytes,
        workgroup_bytes: adapter.workgroup_bytes,
        subgroup: Subgroup { min: adapter.subgroup.0, max: adapter.subgroup.1 },
        usable: adapter.lacks.is_none(),
        lacks: adapter.lacks.as_deref(),
        chosen,
    }
}

fn row(index: usize, adapter: &AdapterSummary, chosen: bool) -> [String; 9] {
    let (min, max) = adapter.subgroup;
    [
        format!("{}{index}", if chosen { "* " } else { "  " }),
        adapter.name.clone(),
        format!("{}, {}", adapter.driver, adapter.backend),
        adapter.kind.to_owned(),
        output::bytes(adapter.max_binding_bytes),
        output::bytes(adapter.max_buffer_bytes),
        output::bytes(adapter.workgroup_bytes.into()),
        if min == max { min.to_string() } else { format!("{min} to {max}") },
        adapter.lacks.as_ref().map_or_else(|| "yes".to_owned(), |lack| format!("no, it lacks {lack}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, lacks: Option<&str>, preferred: bool) -> AdapterSummary {
        AdapterSummary {
            name: name.into(),
            driver: String::new(),
            backend: String::new(),
            kind: "other",
            max_binding_bytes: 0,
            max_buffer_bytes: 0,
            workgroup_bytes: 0,
            subgroup: (1, 1),
            lacks: lacks.map(str::to_owned),
            preferred,
        }
    }

    #[test]
    fn the_choice_is_that_of_the_library() {
        let found = [
            adapter("RTX 4090", Some("immediates"), false),
            adapter("rtx 4090", None, false),
            adapter("llvmpipe, 256 bits", None, true),
        ];
        for (wanted, index) in [
            (None, Some(2)),
            (Some("0"), Some(0)),
            (Some("4090"), Some(1)),
            (Some("256"), Some(2)),
            (Some("RTX"), Some(1)),
            (Some("3"), None),
        ] {
            assert_eq!(choice(&found, wanted), index, "{wanted:?}");
        }
        assert_eq!(choice(&found[..1], Some("rtx")), Some(0), "the only one of this name, usable or not");
    }
}
