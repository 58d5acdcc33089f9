//! Data to SVG text: one file per plot.
//!
//! Every plot is a pure function; the same data give the same bytes. Plots without data are not
//! drawn (`None`), a single point is drawn as a point. The few colours are told apart by readers
//! with any colour vision (after Okabe and Ito 2008) and have a dark variant: a rule in the SVG
//! itself maps each light colour to its dark one when the viewer asks for that. Text is in the
//! system's font. SVG and its escaping come from plotters; what is added here is title and style.

pub mod axis;
pub mod balance;
pub mod cores;
pub mod detection;
pub mod drops;
pub mod held;
pub mod latency;
pub mod outage;
pub mod rate;
pub mod recovery;
pub mod runs;
pub mod scale;

use axis::Axis;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;
use std::fmt::Write as _;

/// Width of every plot in user units.
const WIDTH: u32 = 860;

/// Height of the strip that holds title and legend.
const HEAD: i32 = 62;

const FONT: &str = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Arial, sans-serif";

/// Plotters writes a font size divided by this.
const FONT_SCALE: f64 = 1.24;

const GROUND: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x1f, 0x29, 0x33);
const SOFT: RGBColor = RGBColor(0x52, 0x60, 0x6d);
const GRID: RGBColor = RGBColor(0xdd, 0xe2, 0xe7);
const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const ORANGE: RGBColor = RGBColor(0xc7, 0x7f, 0x00);
const RED: RGBColor = RGBColor(0xc2, 0x4a, 0x00);

/// Each colour with the one that takes its place on a dark ground.
const DARK: [(RGBColor, &str); 7] = [
    (GROUND, "#12181f"),
    (INK, "#e8ecf0"),
    (SOFT, "#a3afba"),
    (GRID, "#36424e"),
    (BLUE, "#56b4e9"),
    (ORANGE, "#b98a1f"),
    (RED, "#ff9c5b"),
];

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// A finished plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plot {
    /// Stem of its file name.
    pub name: &'static str,
    /// What is seen, in a sentence.
    pub title: String,
    body: String,
    height: u32,
}

impl Plot {
    /// A document of its own.
    pub fn document(&self) -> String {
        let style = format!("<style>{}</style>\n", style());
        self.with_root(" xmlns=\"http://www.w3.org/2000/svg\"", &style)
    }

    /// The element to place in a page that has the rules of [`style`].
    pub fn inline(&self) -> String {
        self.with_root("", "")
    }

    /// Width and height in user units.
    pub fn size(&self) -> (u32, u32) {
        (WIDTH, self.height)
    }

    /// A document of its own in its light colours, whatever the viewer asks for.
    pub(crate) fn light(&self) -> String {
        self.with_root(" xmlns=\"http://www.w3.org/2000/svg\"", "")
    }

    fn with_root(&self, namespace: &str, style: &str) -> String {
        let (title, height) = (escape(&self.title), self.height);
        format!(
            "<svg{namespace} class=\"krono-plot\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n\
             <title>{title}</title>\n{style}{}</svg>\n",
            self.body
        )
    }
}

/// Draws a plot of `height` with its title.
fn draw(
    name: &'static str,
    title: String,
    height: u32,
    content: impl FnOnce(&Canvas<'_>) -> Drawn,
) -> Option<Plot> {
    let mut text = String::new();
    {
        let canvas = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        label(&canvas, &title, (8, 16), Label { px: 15.0, ..Label::default() }).ok()?;
        content(&canvas).ok()?;
        canvas.present().ok()?;
    }
    // Plotters' own root element makes place for ours.
    let body = text.split_once('\n').and_then(|(_, rest)| rest.rsplit_once("</svg>"))?.0;
    Some(Plot { name, title, body: body.to_owned(), height })
}

/// How a piece of text looks.
#[derive(Clone, Copy)]
struct Label {
    px: f64,
    color: RGBColor,
    horizontal: HPos,
}

impl Default for Label {
    fn default() -> Label {
        Label { px: 12.0, color: INK, horizontal: HPos::Left }
    }
}

fn font(px: f64, color: RGBColor) -> TextStyle<'static> {
    (FONT, px * FONT_SCALE).into_font().color(&color)
}

fn label(canvas: &Canvas<'_>, text: &str, at: (i32, i32), how: Label) -> Drawn {
    let style = font(how.px, how.color).pos(Pos::new(how.horizontal, VPos::Center));
    canvas.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

/// An axis as it is drawn.
struct Side<'a> {
    axis: Axis,
    /// What it shows, with unit.
    desc: &'a str,
    format: &'a dyn Fn(&f64) -> String,
    /// Room for tick labels and description.
    room: u32,
    grid: bool,
}

type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

/// Axes and grid under the title and the legend.
fn chart<'a>(canvas: &Canvas<'a>, x: Side<'_>, y: Side<'_>) -> Result<Chart<'a>, Box<dyn Error>> {
    let mut chart = ChartBuilder::on(canvas)
        .margin_top(HEAD)
        .margin_right(24)
        .x_label_area_size(x.room)
        .y_label_area_size(y.room)
        .build_cartesian_2d(x.axis, y.axis)?;
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(SOFT)
        .label_style(font(12.0, SOFT))
        .axis_desc_style(font(12.0, SOFT))
        .x_label_formatter(x.format)
        .y_label_formatter(y.format)
        .x_desc(x.desc)
        .y_desc(y.desc);
    if !x.grid {
        mesh.disable_x_mesh();
    }
    if !y.grid {
        mesh.disable_y_mesh();
    }
    mesh.draw()?;
    Ok(chart)
}

/// A row of coloured strokes with their meaning, under the title.
fn legend(canvas: &Canvas<'_>, entries: &[(RGBColor, u32, &str)]) -> Drawn {
    let mut x = 8;
    for (color, width, text) in entries {
        let stroke = color.stroke_width(*width);
        canvas.draw(&PathElement::new(vec![(x, 42), (x + 20, 42)], stroke))?;
        label(canvas, text, (x + 26, 42), Label { color: SOFT, ..Label::default() })?;
        // Half an em a character and some air.
        x += 26 + 7 * text.chars().count() as i32 + 20;
    }
    Ok(())
}

/// CSS rules that give plots their dark colours.
pub fn style() -> String {
    let mut rules = String::from("@media screen and (prefers-color-scheme:dark){");
    for (color, dark) in DARK {
        let RGBColor(r, g, b) = color;
        for paint in ["fill", "stroke"] {
            // Writing to a string cannot fail.
            let _ =
                write!(rules, ".krono-plot [{paint}=\"#{r:02X}{g:02X}{b:02X}\"]{{{paint}:{dark}}}");
        }
    }
    rules + "}"
}

/// Escapes text for XML content and attributes, with the escaper of the page templates.
fn escape(text: &str) -> String {
    askama::filters::escape(text, askama::filters::Html)
        .map_or_else(|_| String::new(), |escaped| escaped.to_string())
}

/// Shortens text to `limit` characters.
fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2.2).
    fn luminance(RGBColor(r, g, b): RGBColor) -> f64 {
        let channel = |value: u8| {
            let share = f64::from(value) / 255.0;
            if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b)
    }

    fn contrast(a: RGBColor, b: RGBColor) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn dark(color: RGBColor) -> RGBColor {
        let (_, text) = DARK.iter().find(|(light, _)| *light == color).expect("every colour");
        let part = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
        RGBColor(part(1), part(3), part(5))
    }

    #[test]
    fn text_and_strokes_stand_out_on_both_grounds() {
        // WCAG 2.2, 1.4.3 and 1.4.11.
        for (color, least) in [(INK, 4.5), (SOFT, 4.5), (RED, 4.5), (BLUE, 3.0), (ORANGE, 3.0)] {
            let (light, dim) = (contrast(color, GROUND), contrast(dark(color), dark(GROUND)));
            assert!(light >= least && dim >= least, "{color:?}: {light:.2} and {dim:.2}");
        }
    }
}
