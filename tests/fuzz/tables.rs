//! Tables of time series, `.csv`.

use std::path::Path;

use costate::Result;
use costate::io::{Scale, Series, Standardiser, TableOptions};
use rand_pcg::Pcg64;

use crate::damage::{any, rarely};
use crate::{Trial, text};

/// Asserts what must hold of every data set.
pub(super) fn assert_sound(series: &Series) {
    let (count, times, dim) = series.values.dim();
    assert_eq!((series.times.len(), series.names.len()), (times, dim), "times and names");
    assert!(count > 0 && dim > 0 && times > 1, "nothing to learn from: {count} {times} {dim}");
    assert!(series.times.iter().all(|t| t.is_finite()), "times are not finite");
    assert!(series.times.windows(2).all(|w| w[0] < w[1]), "times do not increase");
    assert!(series.values.iter().all(|v| !v.is_infinite()), "an infinity is not missing");
    let gaps = series.values.iter().filter(|v| v.is_nan()).count();
    assert_eq!(series.missing().iter().sum::<usize>(), gaps, "gaps are counted");
    let _ = series.is_uniform();
    for scale in Scale::ALL {
        let Ok(scaling) = Standardiser::fit(scale, &series.values) else { continue };
        let _ = scaling.lost_digits(&series.values, &series.names);
        let Ok(scaled) = scaling.to_model(&series.values) else { continue };
        let alike = scaled.iter().zip(&series.values).all(|(z, x)| z.is_nan() == x.is_nan() && !z.is_infinite());
        assert!(alike, "{scale} makes something else than a number of {:?}", series.values);
    }
}

fn read(path: &Path) -> Result<String> {
    read_with(path, &TableOptions::default())
}

fn read_with(path: &Path, options: &TableOptions) -> Result<String> {
    let series = Series::read_with(path, options)?;
    assert_sound(&series);
    if let Some(columns) = &options.columns {
        assert_eq!(&series.names, columns, "the columns that were asked for");
    }
    Ok(text(&series))
}

const NUMBERS: [&str; 6] = ["1", "2.5", "-3e-2", "", "NA", "NaN"];
const CELLS: [&str; 34] = [
    "inf",
    "-inf",
    "1e400",
    "-1e400",
    "1e-400",
    "1,5",
    "1.234,5",
    "\"1\"",
    "\"1",
    "1\"",
    "\"",
    "\"\"",
    "\"1\n2\"",
    "x",
    "é",
    "\u{0}",
    "\u{1b}[31m",
    "\u{2028}",
    "0x10",
    "1_000",
    "+1",
    " 1 ",
    "1e",
    ".5",
    "5.",
    "-",
    "2024-01-31",
    "2024-02-30",
    "9999-12-31T23:59:60Z",
    "1e308",
    "#",
    "null",
    "99999999999999999999999",
    "1\r2",
];
const NAMES: [&str; 22] = [
    "t",
    "time",
    "date",
    "T",
    "x",
    "y",
    "series",
    "id",
    "",
    "Unnamed: 0",
    "1",
    "nan",
    "\"a,b\"",
    "\"x",
    "x\n",
    "#",
    "é",
    "\u{feff}x",
    "time (s)",
    "\u{1b}[2J",
    "\"two\nlines\"",
    "timestamp",
];

/// A table of which now and then something is wrong.
fn table(rng: &mut Pcg64, odd: u32) -> Vec<u8> {
    let delimiter = if rarely(rng, odd) { any(rng, &["|", " ", "", ",,"]) } else { any(rng, &[",", ";", "\t"]) };
    let end = if rarely(rng, odd) { any(rng, &["\r", "\n\n", "\r\n\r", "\n#c\n"]) } else { any(rng, &["\n", "\r\n"]) };
    let by_id = rarely(rng, 3);
    let mut names = vec!["t", "x", "y"];
    if by_id {
        names.push("id");
    }
    let odd_cell = |rng: &mut Pcg64, usual: String, list: &[&str]| {
        if rarely(rng, odd * 3) { (*any(rng, list)).to_owned() } else { usual }
    };
    let names: Vec<String> = names.into_iter().map(|name| odd_cell(rng, name.to_owned(), &NAMES)).collect();
    let mut lines = vec![names.join(delimiter)];
    let dates = rarely(rng, 4);
    for row in 0..6 {
        let place = if by_id { row / 2 } else { row };
        let time = if dates { format!("2024-01-{:02}", place + 1) } else { (f64::from(place) * 0.5).to_string() };
        let mut cells = vec![odd_cell(rng, time, &CELLS)];
        for _ in 0..2 {
            let usual = (*any(rng, &NUMBERS)).to_owned();
            cells.push(odd_cell(rng, usual, &CELLS));
        }
        if by_id {
            cells.push(odd_cell(rng, ["a", "b"][row as usize % 2].to_owned(), &CELLS));
        }
        if rarely(rng, odd * 4) {
            cells.pop();
        }
        lines.push(cells.join(delimiter));
    }
    match if rarely(rng, odd) { *any(rng, &[0, 1, 2]) } else { 3 } {
        0 => drop(lines.remove(1)),
        1 => lines.swap(0, 2),
        2 => lines.push(lines[3].clone()),
        _ => {}
    }
    let mut bytes = lines.join(end).into_bytes();
    if !rarely(rng, 4) {
        bytes.extend_from_slice(end.as_bytes());
    }
    match if rarely(rng, odd) { *any(rng, &[0, 1, 2, 3]) } else { 9 } {
        0 => [b"\xef\xbb\xbf", &bytes[..]].concat(),
        1 => bytes.iter().flat_map(|&b| [b, 0]).collect(),
        2 => [b"\xff\xfe", &bytes[..]].concat(),
        3 => [&bytes[..], b"\xe9\xff,1"].concat(),
        _ => bytes,
    }
}

#[test]
fn tables_are_read_or_refused() {
    let mut trial = Trial::new(6);
    let named = |list: &[&str]| Some(list.iter().map(|&name| name.to_owned()).collect());
    let options = [
        TableOptions::default(),
        TableOptions { delimiter: Some(b';'), ..TableOptions::default() },
        TableOptions { time: Some("x".into()), ..TableOptions::default() },
        TableOptions { series: Some("y".into()), ..TableOptions::default() },
        TableOptions { columns: named(&["y"]), ..TableOptions::default() },
        TableOptions { columns: named(&["y", "y"]), ..TableOptions::default() },
        TableOptions { columns: named(&["no\nsuch"]), time: Some("t".into()), ..TableOptions::default() },
    ];
    for case in 0..2500 {
        let bytes = table(&mut trial.rng, 12);
        let options = if case % 4 == 0 { &options[case / 4 % options.len()] } else { &options[0] };
        trial.file("table.csv", &bytes, &|path| read_with(path, options));
    }
    for good in [
        "t,x,y\n0,1,2\n0.5,NA,4\n1,5,6\n",
        "id;date;x\na;2024-01-31;1,5\nb;2024-01-31;2,5\na;2024-02-01;3\nb;2024-02-01;4\n",
        "\u{feff}time\tthe \"best\"\t\"a name\"\r\n1e9\t\"1\"\t2\r\n1000000001.5\t3\t4\r\n",
    ] {
        trial.damaged("table.csv", good.as_bytes(), 500, &read);
        // Everything in every place.
        for at in (0..=good.len()).filter(|&at| good.is_char_boundary(at)) {
            for piece in ["", ",", ";", "\"", "\n", "1e999", "-", "2024-01-31", "#", "é"] {
                let rest = good.get(at + at % 3..).unwrap_or_default();
                let text = format!("{}{piece}{rest}", &good[..at]);
                trial.file("table.csv", text.as_bytes(), &read);
            }
        }
    }
    for bytes in [&b""[..], b"\n\n\n", b"\xef\xbb\xbf", b"#\n#", b",", b",\n,", b"t,x", b"t,x\n", b"\0\0\0"] {
        assert!(!trial.file("table.csv", bytes, &read), "{}", bytes.escape_ascii());
    }
    trial.end(5000);
}

#[test]
fn tables_of_many_columns_and_long_cells_take_no_long_time() {
    let mut trial = Trial::new(7);
    let columns = |name: &dyn Fn(usize) -> String, cell: &str, count: usize| {
        let names: Vec<String> = (0..count).map(name).collect();
        let row = |t: usize| format!("{t},{}\n", vec![cell; count].join(","));
        format!("t,{}\n{}{}", names.join(","), row(0), row(1))
    };
    let many = columns(&|c| format!("x{c}"), "1", 40_000);
    assert!(trial.file("wide.csv", many.as_bytes(), &|path| Series::read(path).map(|s| s.names.len().to_string())));
    let twice = columns(&|c| format!("x{}", c % 39_999), "1", 40_000);
    assert!(!trial.file("wide.csv", twice.as_bytes(), &read));
    let times = columns(&|c| format!("time {c}"), "1", 5000).replacen("t,", "row,", 1);
    assert!(!trial.file("wide.csv", times.as_bytes(), &read));
    let options =
        TableOptions { columns: Some((0..20_000).map(|c| format!("x{c}")).collect()), ..TableOptions::default() };
    let some = |path: &Path| Series::read_with(path, &options).map(|s| s.names.len().to_string());
    assert!(trial.file("wide.csv", many.as_bytes(), &some));
    for cell in ["long".repeat(100_000), format!("\"{}\"", "a\n".repeat(100_000)), "9".repeat(300_000)] {
        trial.file("long.csv", format!("t,x\n0,{cell}\n1,2\n").as_bytes(), &read);
        trial.file("long.csv", format!("t,{cell}\n0,1\n1,x\n").as_bytes(), &read);
        trial.file("long.csv", format!("t,x,id\n0,1,{cell}\n1,2,{cell}\n0,3,b\n").as_bytes(), &read);
    }
    trial.end(9);
}
