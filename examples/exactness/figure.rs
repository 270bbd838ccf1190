//! Plots as plain SVG: panels side by side with one y axis, each with its own curves and its own legend below.
//!
//! A logarithmic axis may have a row of its own for zero at the bottom and one for failures at the top: no error is a
//! result, and so is none. Colours can be told apart with any kind of colour vision; marks tell curves apart in grey.

use std::fmt::Write as _;

const INK: &str = "#262626";
const GREY: &str = "#606060";
const GRID: &str = "#e4e4e4";
/// Okabe & Ito (2008), without the yellow that is too faint for lines.
const PALETTE: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
/// Left, right and top margins.
const MARGIN: (f64, f64, f64) = (86.0, 16.0, 60.0);
/// Height of the axes, between panels, of a row of the legend, and of the rows of zeros and of failures.
const HEIGHT: f64 = 300.0;
const GAP: f64 = 26.0;
const ROW: f64 = 19.0;
const BAND: f64 = 26.0;

/// What was measured at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// A number; zero has a row of its own on a logarithmic axis.
    At(f64),
    /// No result.
    Failed,
}

/// Points with a line through them.
pub(crate) struct Curve {
    pub(crate) label: String,
    /// Number of the colour.
    pub(crate) colour: usize,
    pub(crate) dashed: bool,
    /// Marks at the points, by number; none for a bare line.
    pub(crate) mark: Option<usize>,
    /// Part of a bundle: thin and pale.
    pub(crate) faint: bool,
    pub(crate) points: Vec<(f64, Value)>,
}

impl Curve {
    /// The i-th curve of a panel.
    pub(crate) fn new(i: usize, label: impl Into<String>, points: Vec<(f64, Value)>) -> Self {
        Self { label: label.into(), colour: i, dashed: i >= PALETTE.len(), mark: Some(i), faint: false, points }
    }
}

/// Axes with curves.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) curves: Vec<Curve>,
}

/// An axis; its range is that of the values.
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) log: bool,
    /// Name of the row of zeros, if there is one.
    pub(crate) zero: Option<String>,
    /// Name of the row of failures, if there is one, and the value beyond which a number is one.
    pub(crate) failed: Option<(String, f64)>,
}

impl Axis {
    pub(crate) fn log(label: &str) -> Self {
        Self { label: label.into(), log: true, zero: None, failed: None }
    }

    pub(crate) fn linear(label: &str) -> Self {
        Self { log: false, ..Self::log(label) }
    }

    fn place(&self, value: f64) -> f64 {
        if self.log { value.log10() } else { value }
    }

    /// Whole marks around the values, and their distance.
    fn range(&self, values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
        let values = values.map(|v| self.place(v)).filter(|v| v.is_finite());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return (0.0, 1.0, 1.0);
        }
        let raw = (high - low) / 6.0;
        let step = if self.log {
            (raw - 0.35).ceil().max(1.0)
        } else {
            let decade = 10_f64.powf(raw.log10().floor());
            [1.0, 2.0, 5.0, 10.0].map(|m| m * decade).into_iter().find(|s| *s >= raw).unwrap_or(raw)
        };
        ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step, step)
    }

    fn label(&self, place: f64) -> String {
        if self.log { power(place) } else { format!("{}", (place * 1e6).round() / 1e6).replace('-', "−") }
    }
}

/// `10⁻³`.
fn power(exponent: f64) -> String {
    let digits: String = format!("{exponent:.0}")
        .chars()
        .map(|c| match c.to_digit(10) {
            Some(d) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][d as usize],
            None => '⁻',
        })
        .collect();
    match digits.as_str() {
        "⁰" => "1".into(),
        "¹" => "10".into(),
        _ => format!("10{digits}"),
    }
}

/// A plot.
pub(crate) struct Figure {
    pub(crate) title: String,
    pub(crate) width: f64,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) panels: Vec<Panel>,
}

/// From values to pixels of one panel.
struct View<'a> {
    figure: &'a Figure,
    left: f64,
    width: f64,
    x: (f64, f64, f64),
    y: (f64, f64, f64),
}

impl View<'_> {
    fn bottom(&self) -> f64 {
        MARGIN.2 + HEIGHT
    }

    fn x(&self, value: f64) -> f64 {
        let (low, high, _) = self.x;
        self.left + 14.0 + (self.figure.x.place(value) - low) / (high - low) * (self.width - 28.0)
    }

    /// Pixels of a place on the axis.
    fn y_place(&self, place: f64) -> f64 {
        let (low, high, _) = self.y;
        let axis = &self.figure.y;
        let room = |row: bool| if row { BAND } else { 0.0 };
        let (top, bottom) = (MARGIN.2 + room(axis.failed.is_some()), self.bottom() - room(axis.zero.is_some()));
        bottom - (place - low) / (high - low) * (bottom - top)
    }

    fn fails(&self, value: Value) -> bool {
        match (value, &self.figure.y.failed) {
            (Value::At(v), Some((_, most))) => v > *most,
            (Value::At(_), None) => false,
            (Value::Failed, _) => true,
        }
    }

    fn y(&self, value: Value) -> f64 {
        match value {
            _ if self.fails(value) => MARGIN.2 + 0.4 * BAND,
            Value::At(v) if v > 0.0 || !self.figure.y.log => self.y_place(self.figure.y.place(v)),
            _ => self.bottom() - 0.4 * BAND,
        }
    }
}

impl Figure {
    pub(crate) fn svg(&self) -> String {
        let count = self.panels.len().max(1) as f64;
        let width = (self.width - MARGIN.0 - MARGIN.1 - GAP * (count - 1.0)) / count;
        let rows = self.panels.iter().map(|p| p.curves.iter().filter(|c| !c.label.is_empty()).count()).max();
        let bottom = MARGIN.2 + HEIGHT;
        let height = bottom + 62.0 + ROW * rows.unwrap_or(0) as f64;
        let points = || self.panels.iter().flat_map(|p| &p.curves).flat_map(|c| &c.points);
        let positive = points().filter_map(|p| if let Value::At(v) = p.1 { Some(v) } else { None });
        let most = self.y.failed.as_ref().map_or(f64::INFINITY, |(_, most)| *most);
        let y = self.y.range(positive.filter(|v| (*v > 0.0 || !self.y.log) && *v <= most));
        let x = self.x.range(points().map(|p| p.0));
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{height}\" viewBox=\"0 0 {0} {height}\" \
             font-family=\"Helvetica, Arial, Liberation Sans, sans-serif\" fill=\"{INK}\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
            self.width
        );
        out += &text((16.0, 24.0), 16, "start", &self.title);
        out += &format!(
            "<text transform=\"translate(20 {}) rotate(-90)\" font-size=\"14\" text-anchor=\"middle\">{}</text>\n",
            f64::midpoint(MARGIN.2, bottom),
            escape(&self.y.label)
        );
        for (i, panel) in self.panels.iter().enumerate() {
            let left = MARGIN.0 + i as f64 * (width + GAP);
            let view = View { figure: self, left, width, x, y };
            axes(&mut out, &view, i == 0, &panel.title);
            let bare = panel.curves.iter().filter(|c| c.faint);
            for curve in bare.chain(panel.curves.iter().filter(|c| !c.faint)) {
                draw(&mut out, &view, curve);
            }
            let entries = panel.curves.iter().filter(|c| !c.label.is_empty());
            for (row, curve) in entries.enumerate() {
                let at = (left, bottom + 66.0 + ROW * row as f64);
                stroke(&mut out, &[at, (at.0 + 30.0, at.1)], curve);
                if let Some(kind) = curve.mark {
                    out += &mark((at.0 + 15.0, at.1), kind, curve.colour);
                }
                out += &text((at.0 + 37.0, at.1 + 4.5), 13, "start", &curve.label);
            }
        }
        out + "</svg>\n"
    }
}

fn axes(out: &mut String, view: &View<'_>, first: bool, title: &str) {
    let (left, right, bottom) = (view.left, view.left + view.width, view.bottom());
    *out += &text((left, MARGIN.2 - 10.0), 14, "start", title);
    let (low, high, step) = view.y;
    let mut place = low;
    while place <= high + 1e-9 * step {
        let y = view.y_place(place);
        *out += &line((left, y), (right, y), GRID, 1.0);
        if first {
            *out += &text((left - 8.0, y + 4.5), 13, "end", &view.figure.y.label(place));
        }
        place += step;
    }
    let failed = view.figure.y.failed.as_ref().map(|(name, _)| name);
    for (row, value) in [(view.figure.y.zero.as_ref(), Value::At(0.0)), (failed, Value::Failed)] {
        let Some(name) = row else { continue };
        let y = view.y(value);
        let edge = if value == Value::Failed { y + 0.6 * BAND - 4.0 } else { y - 0.6 * BAND + 4.0 };
        let band = (y.min(edge) - 8.0, (y - edge).abs() + 8.0);
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#f4f4f4\"/>",
            band.0, view.width, band.1
        );
        if first {
            *out += &text((left - 8.0, y + 4.5), 13, "end", name);
        }
    }
    let (low, high, step) = view.x;
    let mut place = low;
    while place <= high + 1e-9 * step {
        let value = if view.figure.x.log { 10_f64.powf(place) } else { place };
        let x = view.x(value);
        *out += &line((x, bottom), (x, bottom + 5.0), INK, 1.0);
        *out += &text((x, bottom + 20.0), 13, "middle", &view.figure.x.label(place));
        place += step;
    }
    *out += &line((left, MARGIN.2), (left, bottom), INK, 1.2);
    *out += &line((left, bottom), (right, bottom), INK, 1.2);
    *out += &text((f64::midpoint(left, right), bottom + 42.0), 14, "middle", &view.figure.x.label);
}

fn draw(out: &mut String, view: &View<'_>, curve: &Curve) {
    // Curves that lie on each other stay visible.
    let shift = curve.mark.map_or(0.0, |m| (m as f64 - 3.0) * 2.2);
    let place = |p: &(f64, Value)| (view.x(p.0) + shift, view.y(p.1));
    for piece in curve.points.split(|p| view.fails(p.1)) {
        stroke(out, &piece.iter().map(place).collect::<Vec<_>>(), curve);
    }
    let Some(kind) = curve.mark else { return };
    for point in &curve.points {
        let (x, y) = place(point);
        if view.fails(point.1) {
            let colour = PALETTE[curve.colour % PALETTE.len()];
            *out += &line((x - 4.0, y - 4.0), (x + 4.0, y + 4.0), colour, 2.0);
            *out += &line((x - 4.0, y + 4.0), (x + 4.0, y - 4.0), colour, 2.0);
        } else {
            *out += &mark((x, y), kind, curve.colour);
        }
    }
}

fn stroke(out: &mut String, points: &[(f64, f64)], curve: &Curve) {
    if points.len() < 2 {
        return;
    }
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-opacity=\"{}\"{}/>",
        path.join(" "),
        PALETTE[curve.colour % PALETTE.len()],
        if curve.faint { 1.0 } else { 1.9 },
        if curve.faint { 0.3 } else { 1.0 },
        if curve.dashed { " stroke-dasharray=\"5 3\"" } else { "" },
    );
}

/// A circle, square, diamond or triangle, filled or hollow.
fn mark((x, y): (f64, f64), kind: usize, colour: usize) -> String {
    let colour = PALETTE[colour % PALETTE.len()];
    let fill = if (kind / 4).is_multiple_of(2) { colour } else { "#ffffff" };
    let style = format!("fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.5\"");
    let corners: &[(f64, f64)] = match kind % 4 {
        0 => return format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\" {style}/>\n"),
        1 => &[(-3.4, -3.4), (3.4, -3.4), (3.4, 3.4), (-3.4, 3.4)],
        2 => &[(0.0, -4.8), (4.8, 0.0), (0.0, 4.8), (-4.8, 0.0)],
        _ => &[(0.0, -4.6), (4.4, 3.4), (-4.4, 3.4)],
    };
    let corners: Vec<String> = corners.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy)).collect();
    format!("<polygon points=\"{}\" {style}/>\n", corners.join(" "))
}

/// One bar: its name, its number, and what stands after it.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) colour: usize,
    pub(crate) value: f64,
    pub(crate) note: String,
}

/// Bars from left to right, in groups; a line marks 1.
pub(crate) fn bars(title: &str, label: &str, groups: &[(String, Vec<Bar>)]) -> String {
    const WIDTH: f64 = 860.0;
    let (left, right, pitch) = (230.0, WIDTH - 190.0, 22.0);
    let largest = groups.iter().flat_map(|g| &g.1).fold(1.0_f64, |m, b| m.max(b.value));
    let scale = |v: f64| left + v / largest * (right - left);
    let count: usize = groups.iter().map(|g| g.1.len()).sum();
    let height = 54.0 + 30.0 * groups.len() as f64 + pitch * count as f64 + 50.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"Helvetica, Arial, Liberation Sans, sans-serif\" fill=\"{INK}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    out += &text((16.0, 24.0), 16, "start", title);
    let mut y = 54.0;
    for (name, bars) in groups {
        out += &text((16.0, y + 12.0), 14, "start", name);
        y += 26.0;
        for bar in bars {
            let colour = PALETTE[bar.colour % PALETTE.len()];
            let width = scale(bar.value) - left;
            let _ =
                writeln!(out, "<rect x=\"{left}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"15\" fill=\"{colour}\"/>");
            out += &text((left - 8.0, y + 12.0), 13, "end", &bar.label);
            out += &text((left + width + 6.0, y + 12.0), 13, "start", &bar.note);
            y += pitch;
        }
        y += 4.0;
    }
    out += &line((scale(1.0), 54.0), (scale(1.0), y), INK, 1.2);
    out += &text((scale(1.0), y + 17.0), 13, "middle", "1");
    out += &line((left, 54.0), (left, y), INK, 1.2);
    out += &text((left, y + 17.0), 13, "middle", "0");
    out += &text((f64::midpoint(left, right), y + 36.0), 14, "middle", label);
    out + "</svg>\n"
}

fn line(a: (f64, f64), b: (f64, f64), colour: &str, width: f64) -> String {
    format!(
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>\n",
        a.0, a.1, b.0, b.1
    )
}

fn text((x, y): (f64, f64), size: u32, anchor: &str, text: &str) -> String {
    let fill = if text.starts_with('(') { GREY } else { INK };
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{}</text>\n",
        escape(text)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
