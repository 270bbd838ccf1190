//! One set of axes with curves and a legend, drawn as SVG.
//!
//! Layout by hand on plotters' SVG backend, which cannot measure text: widths are estimated. Coordinates are whole
//! numbers there, so everything is drawn at [`FINE`] times its size and shown smaller.

use std::path::Path;

use costate::{Error, Result};
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontStyle, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE};

use super::ticks;

/// Drawn units per shown pixel.
const FINE: i32 = 8;
/// Size in pixels.
const SIZE: (i32, i32) = (640, 420);
/// Margins in pixels around the axes: left, right, bottom.
const MARGIN: (i32, i32, i32) = (78, 22, 58);
/// Height in pixels of the title and of a row of the legend.
const ROW: i32 = 24;
const FONT: FontFamily<'static> = FontFamily::Name("Helvetica, Arial, Liberation Sans, sans-serif");

const INK: RGBColor = RGBColor(0x26, 0x26, 0x26);
const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
/// For legend entries that hold for every colour.
pub(super) const GREY: RGBColor = RGBColor(0x60, 0x60, 0x60);

/// Okabe & Ito (2008), without the yellow that is too faint for lines.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x00, 0x00),
];

/// The colour of the i-th curve.
pub(super) fn colour(i: usize) -> RGBColor {
    PALETTE[i % PALETTE.len()]
}

/// What a curve is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A line through the points.
    Line,
    /// A dot at each point.
    Dots,
    /// A line and dots.
    Both,
}

/// Points of one colour.
pub(super) struct Curve {
    mark: Mark,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

impl Curve {
    pub(super) fn new(mark: Mark, colour: RGBColor, points: Vec<(f64, f64)>) -> Self {
        Self { mark, colour, points }
    }
}

/// One entry of the legend.
pub(super) struct Entry {
    label: String,
    mark: Mark,
    colour: RGBColor,
}

impl Entry {
    pub(super) fn new(label: &str, mark: Mark, colour: RGBColor) -> Self {
        Self { label: label.to_owned(), mark, colour }
    }

    /// Pixels from its start to that of the next entry.
    fn width(&self) -> i32 {
        let letters = i32::try_from(self.label.chars().count()).unwrap_or(i32::MAX / 64);
        56 + letters.min(1000) * 7
    }
}

/// An axis before its range is known.
pub(super) struct Axis {
    pub(super) label: String,
    pub(super) log: bool,
    /// Values to mark, instead of round ones.
    pub(super) ticks: Option<Vec<f64>>,
}

impl Axis {
    pub(super) fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), log: false, ticks: None }
    }

    pub(super) fn log(label: &str) -> Self {
        Self { log: true, ..Self::linear(label) }
    }

    /// The position of a value along the axis before scaling; `None` if it has none.
    fn position(&self, value: f64) -> Option<f64> {
        // Beyond this the length of a range may overflow.
        let shown = value.abs() < 1e300 && !(self.log && value < 1e-300);
        shown.then(|| if self.log { value.log10() } else { value })
    }

    fn value(&self, position: f64) -> f64 {
        if self.log { 10_f64.powf(position) } else { position }
    }

    /// The range that shows all `values` with a little room around them.
    fn range(&self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        let bounds = |(low, high): (f64, f64), p: f64| (low.min(p), high.max(p));
        let (low, high) = values.filter_map(|v| self.position(v)).fold((f64::INFINITY, f64::NEG_INFINITY), bounds);
        if low > high {
            return (0.0, 1.0);
        }
        let least = if self.log { 0.1 } else { 1e-6 * low.abs().max(high.abs()).max(1e-300) };
        let room = if high - low < least { 10.0 * least } else { 0.04 * (high - low) };
        (low - room, high + room)
    }

    /// The values to mark within a range of positions.
    fn marks(&self, (low, high): (f64, f64)) -> Vec<f64> {
        match (&self.ticks, self.log) {
            (Some(given), _) => given.iter().copied().filter(|v| self.position(*v).is_some()).collect(),
            (None, true) => ticks::logarithmic(self.value(low), self.value(high)),
            (None, false) => ticks::linear(low, high),
        }
    }

    /// Values that were given are labelled as they are.
    fn labels(&self, marks: &[f64]) -> Vec<String> {
        if self.ticks.is_some() { marks.iter().map(f64::to_string).collect() } else { ticks::labels(marks) }
    }
}

/// A plot.
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) curves: Vec<Curve>,
    pub(super) legend: Vec<Entry>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

impl Figure {
    /// Draws and writes it in one piece.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|e| Error::Io {
            action: "draw",
            path: path.to_owned(),
            source: std::io::Error::other(e.to_string()),
        })?;
        let (width, height) = SIZE;
        let fine = format!("width=\"{}\" height=\"{}\"", width * FINE, height * FINE);
        let svg = svg.replacen(&fine, &format!("width=\"{width}\" height=\"{height}\""), 1);
        costate::io::write_atomically(path, |writer| writer.write_all(svg.as_bytes()))
    }

    fn draw(&self, svg: &mut String) -> Drawn {
        let size = (SIZE.0 * FINE, SIZE.1 * FINE);
        let area = SVGBackend::with_string(svg, (size.0.cast_unsigned(), size.1.cast_unsigned())).into_drawing_area();
        area.fill(&WHITE)?;
        let points = || self.curves.iter().flat_map(|c| &c.points).filter(|p| self.shows(p));
        let view = View {
            x: self.x.range(points().map(|p| p.0)),
            y: self.y.range(points().map(|p| p.1)),
            top: 18 + ROW * self.legend_rows() + if self.title.is_empty() { 0 } else { ROW },
        };
        self.draw_axes(&area, &view)?;
        for curve in &self.curves {
            self.draw_curve(&area, &view, curve)?;
        }
        self.draw_heading(&area)?;
        if points().next().is_none() {
            let middle = (f64::from(MARGIN.0 + SIZE.0 - MARGIN.1) / 2.0, f64::from(view.top + SIZE.1 - MARGIN.2) / 2.0);
            area.draw(&Text::new("no finite values to show", pixel(middle), text(14, HPos::Center, VPos::Center)))?;
        }
        area.present()
    }

    fn shows(&self, point: &(f64, f64)) -> bool {
        self.x.position(point.0).is_some() && self.y.position(point.1).is_some()
    }

    fn draw_axes(&self, area: &Area<'_>, view: &View) -> Drawn {
        let (left, right) = (f64::from(MARGIN.0), f64::from(SIZE.0 - MARGIN.1));
        let (top, bottom) = (f64::from(view.top), f64::from(SIZE.1 - MARGIN.2));
        let line = |a, b, style| area.draw(&PathElement::new(vec![pixel(a), pixel(b)], style));
        let marks = self.x.marks(view.x);
        let mut previous = f64::NEG_INFINITY;
        for (value, label) in marks.iter().zip(self.x.labels(&marks)) {
            let Some(x) = self.x.position(*value).map(|p| view.x(p)) else { continue };
            line((x, top), (x, bottom), stroke(GRID, 1.0))?;
            // Labels of one axis are about as long as each other.
            let letters = f64::from(u32::try_from(label.chars().count()).unwrap_or(u32::MAX));
            if x - previous >= (7.5 * letters + 8.0).max(40.0) {
                previous = x;
                area.draw(&Text::new(label, pixel((x, bottom + 8.0)), text(13, HPos::Center, VPos::Top)))?;
            }
        }
        let marks = self.y.marks(view.y);
        for (value, label) in marks.iter().zip(self.y.labels(&marks)) {
            let Some(y) = self.y.position(*value).map(|p| view.y(p)) else { continue };
            line((left, y), (right, y), stroke(GRID, 1.0))?;
            area.draw(&Text::new(label, pixel((left - 8.0, y)), text(13, HPos::Right, VPos::Center)))?;
        }
        line((left, top), (left, bottom), stroke(INK, 1.2))?;
        line((left, bottom), (right, bottom), stroke(INK, 1.2))?;
        let below = pixel((f64::midpoint(left, right), f64::from(SIZE.1) - 26.0));
        area.draw(&Text::new(self.x.label.as_str(), below, text(15, HPos::Center, VPos::Top)))?;
        let beside = pixel((12.0, f64::midpoint(top, bottom)));
        let upright = text(15, HPos::Center, VPos::Top).transform(FontTransform::Rotate270);
        area.draw(&Text::new(self.y.label.as_str(), beside, upright))
    }

    fn draw_curve(&self, area: &Area<'_>, view: &View, curve: &Curve) -> Drawn {
        let place = |p: &(f64, f64)| Some(pixel((view.x(self.x.position(p.0)?), view.y(self.y.position(p.1)?))));
        if curve.mark != Mark::Dots {
            for piece in curve.points.split(|p| !self.shows(p)).filter(|piece| !piece.is_empty()) {
                let path: Vec<_> = piece.iter().filter_map(place).collect();
                // A single point between gaps would be an invisible line.
                if let [only] = path[..] {
                    area.draw(&Circle::new(only, FINE, curve.colour.filled()))?;
                }
                area.draw(&PathElement::new(path, stroke(curve.colour, 1.7)))?;
            }
        }
        if curve.mark != Mark::Line {
            // Many dots get smaller, so that they stay apart.
            let radius = if curve.points.len() > 200 { 2.0 } else { 3.2 };
            for point in curve.points.iter().filter_map(place) {
                area.draw(&Circle::new(point, fine(radius), curve.colour.mix(0.8).filled()))?;
            }
        }
        Ok(())
    }

    /// Row and left edge in pixels of each legend entry.
    fn legend_places(&self) -> Vec<(i32, i32)> {
        let (mut row, mut x) = (0, MARGIN.0);
        let place = |entry: &Entry| {
            if x > MARGIN.0 && x + entry.width() > SIZE.0 {
                (row, x) = (row + 1, MARGIN.0);
            }
            let here = (row, x);
            x += entry.width();
            here
        };
        self.legend.iter().map(place).collect()
    }

    fn legend_rows(&self) -> i32 {
        self.legend_places().last().map_or(0, |(row, _)| row + 1)
    }

    fn draw_heading(&self, area: &Area<'_>) -> Drawn {
        let start = if self.title.is_empty() { 0 } else { ROW };
        let title = text(15, HPos::Left, VPos::Center);
        area.draw(&Text::new(self.title.as_str(), pixel((f64::from(MARGIN.0), 18.0)), title))?;
        for (entry, (row, x)) in self.legend.iter().zip(self.legend_places()) {
            let (x, y) = (f64::from(x), f64::from(18 + start + ROW * row));
            if entry.mark != Mark::Dots {
                let line = vec![pixel((x, y)), pixel((x + 24.0, y))];
                area.draw(&PathElement::new(line, stroke(entry.colour, 1.7)))?;
            }
            if entry.mark != Mark::Line {
                area.draw(&Circle::new(pixel((x + 12.0, y)), fine(3.2), entry.colour.filled()))?;
            }
            let style = text(13, HPos::Left, VPos::Center);
            area.draw(&Text::new(entry.label.as_str(), pixel((x + 30.0, y)), style))?;
        }
        Ok(())
    }
}

/// From positions to pixels.
struct View {
    x: (f64, f64),
    y: (f64, f64),
    top: i32,
}

impl View {
    fn x(&self, position: f64) -> f64 {
        let share = (position - self.x.0) / (self.x.1 - self.x.0);
        f64::from(MARGIN.0) + share * f64::from(SIZE.0 - MARGIN.0 - MARGIN.1)
    }

    fn y(&self, position: f64) -> f64 {
        let share = (position - self.y.0) / (self.y.1 - self.y.0);
        f64::from(SIZE.1 - MARGIN.2) - share * f64::from(SIZE.1 - MARGIN.2 - self.top)
    }
}

fn pixel((x, y): (f64, f64)) -> (i32, i32) {
    (fine(x), fine(y))
}

fn fine(pixels: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounded; a cast from f64 saturates")]
    {
        (pixels * f64::from(FINE)).round() as i32
    }
}

fn stroke(colour: RGBColor, width: f64) -> ShapeStyle {
    colour.stroke_width(fine(width).cast_unsigned())
}

fn text(pixels: i32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    // The backend divides sizes by this factor.
    let size = f64::from(pixels * FINE) * 1.24;
    TextStyle::from((FONT, size, FontStyle::Normal).into_font()).color(&INK).pos(Pos::new(horizontal, vertical))
}
