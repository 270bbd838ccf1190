//! Tables as people have them: delimiters, decimal commas, dates, gaps, indices.

use costate::Result;
use costate::io::{Series, TableOptions};
use ndarray::array;

use crate::{Folder, assert_error};

fn read(text: &str) -> Result<Series> {
    read_with(text, &TableOptions::default())
}

fn read_with(text: &str, options: &TableOptions) -> Result<Series> {
    let folder = Folder::new();
    Series::read_with(folder.file("table.csv", text), options)
}

fn options(time: Option<&str>, series: Option<&str>, columns: Option<&[&str]>) -> TableOptions {
    TableOptions {
        delimiter: None,
        time: time.map(str::to_owned),
        series: series.map(str::to_owned),
        columns: columns.map(|list| list.iter().map(|c| (*c).to_owned()).collect()),
    }
}

#[test]
fn any_usual_delimiter_and_decimal_mark_is_read() {
    let values = array![[[1.5, -2.0], [2.5e-1, 3.0]]];
    for text in [
        "t,x,y\n0,1.5,-2\n0.5,0.25,3\n",
        "t;x;y\n0;1.5;-2\n0.5;0.25;3\n",
        "t;x;y\n0;1,5;-2\n0,5;2,5e-1;3\n",
        "t\tx\ty\r\n0\t1.5\t-2\r\n0.5\t0.25\t3\r\n",
        "\"t\",\"x\",\"y\"\n\"0\",\"1.5\",\"-2\"\n\"0.5\",\"0.25\",\"3\"\n",
        "t, x, y,\n0, 1.5, -2,\n0.5, 0.25, 3,\n",
        "t,x,y,,,\n0,1.5,-2,,,\n0.5,0.25,3,,,\n,,,,,\n",
        "t,x,y\n0,1.5,-2,\n0.5,0.25,3\n",
        "\u{feff}t;x;y\n0;1,5;-2\n0,5;0,25;3\n",
        "# made by hand\nt;x;\"y, in m\"\n0;1,5;-2\n0,5;0,25;3\n",
        "t;x;y, in m\n0;1.5;-2\n0.5;0.25;3\n",
    ] {
        let table = read(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!((table.times, table.values), (vec![0.0, 0.5], values.clone()), "{text}");
        assert_eq!(table.names[0], "x", "{text}");
        assert!(table.notes.is_empty(), "nothing is unusual about {text}");
    }
    let given = TableOptions { delimiter: Some(b';'), ..TableOptions::default() };
    assert_eq!(read_with("t;x,y\n0;1\n1;2\n", &given).unwrap().names, ["x,y"]);
}

#[test]
fn what_may_be_misread_is_refused() {
    for (text, words) in [
        ("t,x\n0,\"1,5\"\n1,2\n", &["'1,5'", "line 2, column x", "no number"][..]),
        ("t;x\n0;1.234,5\n1;2\n", &["'1.234,5'", "line 2, column x"]),
        ("t;x\n0;1,234,5\n1;2\n", &["'1,234,5'", "line 2, column x"]),
        ("t;x\n0;1,5\n1;2.5\n", &["'2.5'", "line 3, column x", "decimal point", "line 2", "decimal comma"]),
        ("t,x;y\n0,1;2\n1,2;3\n", &["',' and ';'", "delimiter"]),
        ("t;x;y, in m\n0;1,5;-2\n0,5;0,25;3\n", &["',' and ';'", "delimiter"]),
        ("t,x,x\n0,1,2\n1,2,3\n", &["columns 2 and 3", "both named x"]),
        ("t,x,,y\n0,1,5,2\n1,2,5,3\n", &["column 3 has no name"]),
        ("t,x,\n0,1,7\n1,2,7\n", &["line 2 has 3 cells", "2 names"]),
        (",x,y\n0,1,2\n1,2,3\n", &["index", "none of the others is named time", "[data]"]),
        ("t,time,x\n0,0,1\n1,1,2\n", &["t and time", "time = "]),
        ("series,id,t,x\na,1,0,1\na,1,1,2\n", &["series and id", "id = "]),
        ("series,t,x\na,0,1\n,1,2\n", &["line 3, column series", "empty"]),
        ("t x\n0 1\n1 2\n", &["1 column(s) and no component", "tab"]),
        ("t,x\n0,one\n1,2\n", &["'one'", "line 2, column x", "NA, NaN"]),
    ] {
        assert_error(read(text), &[words, &["table.csv"]].concat());
    }
    let folder = Folder::new();
    let utf16: Vec<u8> = "\u{feff}t,x\n0,1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_error(Series::read(folder.file("wide.csv", utf16)), &["UTF-16", "UTF-8"]);
}

#[test]
fn empty_cells_were_not_observed() {
    let table = read("series,t,x,y\na,0,1,2\na,1,,NA\nb,0,3,4\nb,1,NaN,nan\na,2,5,\nb,2,6,7\n").unwrap();
    assert_eq!(table.missing(), [2, 3]);
    assert_eq!(table.values[[0, 2, 0]], 5.0);
    assert!(table.values[[0, 2, 1]].is_nan() && !table.values[[1, 2, 1]].is_nan(), "{}", table.values);
}

#[test]
fn the_time_is_found_wherever_it_stands() {
    for (text, names, note) in [
        ("year,hare\n0,1\n1,2\n", &["hare"][..], ""),
        ("time (s),T\n0,1\n1,2\n", &["T"], ""),
        ("T,t\n1,0\n2,1\n", &["T"], "column t is taken as the time"),
        ("x,y,Time\n1,5,0\n2,6,1\n", &["x", "y"], "column Time is taken as the time"),
        ("x,time_s\n1,0\n2,1\n", &["x"], "column time_s is taken as the time"),
        ("id,x,t\n1,5,0\n1,6,1\n", &["x"], "column t is taken as the time"),
        (",t,x\n7,0,1\n8,1,2\n", &["x"], "no name: it is an index"),
        ("Unnamed: 0,x,t\n7,1,0\n8,2,1\n", &["x"], "no name: it is an index"),
    ] {
        let table = read(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(
            (&table.times[..], &table.names[..]),
            (&[0.0, 1.0][..], &names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()[..]),
            "{text}"
        );
        assert!(
            table.notes.iter().any(|n| n.contains(note)) || note.is_empty() && table.notes.is_empty(),
            "{:?}",
            table.notes
        );
    }
    let text = ",day,run,x,y,z\n0,0,a,1,2,3\n1,1,a,4,5,6\n2,0,b,7,8,9\n3,1,b,1,2,3\n";
    let table = read_with(text, &options(Some("day"), Some("run"), Some(&["z", "x"]))).unwrap();
    assert_eq!(table.values, array![[[3.0, 1.0], [6.0, 4.0]], [[9.0, 7.0], [3.0, 1.0]]]);
    assert!(table.notes.iter().any(|n| n.contains("left out: y")), "{:?}", table.notes);
    for (options, words) in [
        (options(Some("hour"), None, None), ["no column hour", "data.time"]),
        (options(Some("day"), Some("who"), None), ["no column who", "data.id"]),
        (options(Some("day"), Some("run"), Some(&["w"])), ["no column w", "data.columns"]),
        (options(Some("day"), Some("run"), Some(&["x", "x"])), ["column x", "twice"]),
        (options(Some("day"), Some("run"), Some(&["day"])), ["column day", "twice"]),
        (options(Some("day"), Some("day"), None), ["column day", "both the time"]),
    ] {
        assert_error(read_with(text, &options), &words);
    }
}

#[test]
fn dates_are_seconds_since_the_first() {
    let day = 86_400.0;
    for (first, second, seconds) in [
        ("2024-01-31", "2024-02-01", day),
        ("2024-01-31T12:00:00", "2024-01-31T12:00:01.5", 1.5),
        ("2024-01-31 12:00", "2024-02-29 12:30", 29.0 * day + 1800.0),
        ("2024-01-31T12:00:00Z", "2024-01-31 12:00:00+00:00", f64::NAN),
        ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00.033Z", 0.033),
        ("2024-03-31T01:30:00+01:00", "2024-03-31T03:30:00+02:00", 3600.0),
        ("1969-12-31T23:59:59.999999999", "1970-01-01T00:00:00", 1e-9),
        ("1900-01-01", "2000-01-01", 36524.0 * day),
    ] {
        let table = read(&format!("date,x\n{first},1\n{second},2\n"));
        if seconds.is_nan() {
            assert_error(table, &["time 1 is 0 after 0", "line 3, column date"]);
            continue;
        }
        let table = table.unwrap();
        assert_eq!((&table.times[..], table.clock.since.as_deref()), (&[0.0, seconds][..], Some(first)));
        assert_eq!(table.clock.column, "date");
    }
    for (first, second, words) in [
        ("31.01.2024", "01.02.2024", &["'31.01.2024'", "line 2, column date", "2024-01-31"][..]),
        ("2024-01-31", "2024-02-30", &["'2024-02-30'", "line 3"]),
        ("2024-01-31", "5", &["'5'", "line 3"]),
        ("0", "2024-01-31", &["'2024-01-31'", "line 3", "as the times before"]),
        ("2024-01-31T12:00:00", "2024-01-31T12:00:01Z", &["an offset from UTC", "no offset", "line 3"]),
        ("2024-01-31T12:00:00[Europe/Berlin]", "", &["Europe/Berlin", "line 2"]),
        ("2024-01-31", "", &["''", "line 3, column date"]),
        ("20240131", "20240201", &["20240131", "line 2, column date", "2024-01-31"]),
    ] {
        assert_error(read(&format!("date,x\n{first},1\n{second},2\n")), words);
    }
}

#[test]
fn printed_times_are_equally_spaced_up_to_their_last_digit() {
    let table = |times: &[String]| {
        let rows: String = times.iter().map(|t| format!("{t},1\n")).collect();
        read(&format!("t,x\n{rows}")).unwrap()
    };
    let column = |n: u32, time: &dyn Fn(f64) -> String| table(&(0..n).map(|i| time(i.into())).collect::<Vec<_>>());
    assert!(column(300, &|i| format!("{:.3}", i / 30.0)).is_uniform(), "30 frames per second");
    assert!(column(300, &|i| ((i / 30.0 * 1e3).round() / 1e3).to_string()).is_uniform(), "without zeros at the end");
    assert!(column(300, &|i| format!("{:.1}", 1.7e9 + i / 10.0)).is_uniform(), "epoch seconds with tenths");
    let narrow: Vec<String> = (0..300_u16).map(|i| (f32::from(i) * 0.01).to_string()).collect();
    assert!(table(&narrow).is_uniform(), "printed from f32");
    assert!(column(60, &|i| format!("2024-01-31T12:00:{:06.3}", i / 30.0)).is_uniform(), "dates with milliseconds");
    assert!(column(30, &|i| format!("2024-01-{:02}", i + 1.0)).is_uniform(), "days");
    assert!(!column(12, &|i| format!("2024-{:02}-01", i + 1.0)).is_uniform(), "months");
    let seen = |times: &[&str]| table(&times.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
    assert!(!seen(&["0", "1", "3", "4"]).is_uniform(), "days without the one between");
    assert!(!seen(&["0", "1", "2", "4"]).is_uniform(), "a day is missing");
    assert!(!seen(&["0.000", "0.033", "0.067", "0.150"]).is_uniform(), "frames are missing");
}

/// By hand, since timing does not belong into tests: `cargo test --release --test files -- --ignored --nocapture linear`.
#[test]
#[ignore = "measures seconds"]
fn reading_is_linear_in_the_number_of_series() {
    let seconds = |series: usize| {
        let rows: String = (0..3).flat_map(|t| (0..series).map(move |s| format!("{s},{t},{s}\n"))).collect();
        let start = std::time::Instant::now();
        assert_eq!(read(&format!("series,t,x\n{rows}")).unwrap().values.dim(), (series, 3, 1));
        start.elapsed().as_secs_f64()
    };
    let [few, many] = [30_000, 300_000].map(seconds);
    println!("30 000 series {few:.3} s, 300 000 series {many:.3} s: {:.1} times as long", many / few);
}

#[test]
fn many_series_are_read() {
    let rows: String = (0..2).flat_map(|t| (0..30_000).rev().map(move |s| format!("s{s},{t},{}\n", s + t))).collect();
    let table = read(&format!("series,t,x\n{rows}")).unwrap();
    assert_eq!(table.values.dim(), (30_000, 2, 1));
    assert_eq!((table.values[[0, 0, 0]], table.values[[29_999, 1, 0]]), (29_999.0, 1.0), "in the order of the file");
}

#[test]
fn a_quote_that_is_never_closed_loses_no_lines() {
    let some = options(None, None, Some(&["x"]));
    let closed = "t,x,remark\n0,1,\"of two\nlines\"\n1,2,a 5\" pipe\n2,3,\"a \"\"word\"\"\"";
    assert_eq!(read_with(closed, &some).unwrap().times, [0.0, 1.0, 2.0]);
    for (text, line) in [
        ("t,x,remark\n0,1,\n1,2,\"open\n2,3,\n3,4,\n", "line 3"),
        ("t,x,remark\n0,1,\n1,2,\n2,3,\"", "line 4"),
        ("t,x,\"remark\n0,1,\n1,2,\n", "line 1"),
    ] {
        assert_error(read_with(text, &some), &["a quote that is opened in", line, "never closed", "table.csv"]);
    }
}
