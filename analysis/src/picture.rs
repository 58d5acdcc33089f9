//! Plots as PNG, for places that show no SVG: slides, chats, comments.
//!
//! A picture is the plot's own SVG, rasterised in its light colours on white with two pixels for
//! each unit; nothing is drawn that the SVG does not have, and a page never needs one. Text is drawn
//! with a font of this machine, so pictures of two machines may differ in their letters. Without any
//! font there is no picture: a plot without its figures says nothing. `krono report --png` asks for
//! them.

use crate::plot::Plot;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Family, Query};
use resvg::usvg::{Options, Tree};
use std::sync::Arc;
use thiserror::Error;

/// Pixels for each unit of a plot.
pub const SCALE: u32 = 2;

/// Fonts that plots name and that a Linux machine may have, before the generic one.
const FONTS: [&str; 2] = ["Liberation Sans", "Arial"];

/// Why there is no picture.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PictureError {
    /// Text cannot be drawn.
    #[error(
        "PNG: no font on this machine to draw text with; install one: \
             apt-get install fonts-liberation"
    )]
    NoFont,
    /// A plot that is no image, which is an error of this program.
    #[error("PNG: plot `{name}`: {why}")]
    Plot {
        /// Its name.
        name: &'static str,
        /// What the rasteriser says.
        why: String,
    },
}

/// Makes pictures, with the fonts of this machine.
#[derive(Debug)]
pub struct Painter {
    options: Options<'static>,
}

impl Painter {
    /// Looks for fonts.
    ///
    /// # Errors
    /// [`PictureError::NoFont`].
    pub fn new() -> Result<Painter, PictureError> {
        let mut fonts = Database::new();
        fonts.load_system_fonts();
        Painter::with_fonts(fonts)
    }

    fn with_fonts(mut fonts: Database) -> Result<Painter, PictureError> {
        let families = [Family::Name(FONTS[0]), Family::Name(FONTS[1]), Family::SansSerif];
        if fonts.query(&Query { families: &families, ..Query::default() }).is_none() {
            // Any font shows a figure, one of a fixed width only where there is no other.
            let found = fonts.faces().find(|face| !face.monospaced).or(fonts.faces().next());
            let name = found.and_then(|face| Some(face.families.first()?.0.clone()));
            fonts.set_sans_serif_family(name.ok_or(PictureError::NoFont)?);
        }
        Ok(Painter { options: Options { fontdb: Arc::new(fonts), ..Options::default() } })
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// [`PictureError::Plot`].
    pub fn paint(&self, plot: &Plot) -> Result<Vec<u8>, PictureError> {
        let failed = |why: String| PictureError::Plot { name: plot.name, why };
        let (width, height) = plot.size();
        let tree = Tree::from_str(&plot.light(), &self.options)
            .map_err(|error| failed(error.to_string()))?;
        let mut pixmap = Pixmap::new(SCALE * width, SCALE * height)
            .ok_or_else(|| failed(format!("{width} by {height} is no size")))?;
        pixmap.fill(Color::WHITE);
        let scale = SCALE as f32;
        resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
        pixmap.encode_png().map_err(|error| failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_font_there_is_no_picture() {
        let refused = Painter::with_fonts(Database::new()).err();
        let text = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("apt-get install"), "{text}");
    }
}
