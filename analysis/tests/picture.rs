//! Pictures of plots: PNG of the right size, with the plot's colours and its text on them.

mod fixture;

use analysis::picture::{Painter, PictureError, SCALE};
use analysis::report::{write, write_all, write_each, write_pictures};
use resvg::tiny_skia::Pixmap;
use std::fs;
use std::path::Path;

/// `None`, said once for each test, where there is no font.
fn painter() -> Option<Painter> {
    match Painter::new() {
        Ok(painter) => Some(painter),
        Err(error @ PictureError::NoFont) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Width and height as the file says them (PNG, third edition, 5.2 and 11.2.1).
fn size(png: &[u8]) -> (u32, u32) {
    assert_eq!(png[..8], [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a]);
    assert_eq!(&png[12..16], b"IHDR");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}

/// How many pixels in these rows are of a colour, or nearly.
fn pixels(of: &Pixmap, rows: std::ops::Range<u32>, (r, g, b): (u8, u8, u8)) -> usize {
    let width = of.width() as usize;
    let range = rows.start as usize * width..rows.end as usize * width;
    let near = |a: u8, b: u8| a.abs_diff(b) <= 8;
    let pixels = of.pixels()[range].iter();
    pixels.filter(|it| near(it.red(), r) && near(it.green(), g) && near(it.blue(), b)).count()
}

fn run(dir: &Path) {
    fs::create_dir_all(dir).expect("a folder");
    fixture::write(dir, &fixture::summary());
}

#[test]
fn a_picture_shows_what_its_plot_shows() {
    let Some(painter) = painter() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    run(dir.path());
    let written = write(dir.path()).expect("a report");
    let names: Vec<&str> = written.plots.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["cores", "rate", "latency", "connections"]);
    for (name, plot) in &written.plots {
        let png = painter.paint(plot).expect("a picture");
        let (width, height) = plot.size();
        assert_eq!(size(&png), (SCALE * width, SCALE * height), "{name}");
        let drawn = Pixmap::decode_png(&png).expect("a picture");
        let all = (drawn.width() * drawn.height()) as usize;
        let white = pixels(&drawn, 0..drawn.height(), (255, 255, 255));
        assert!(white > all / 2 && white < all - all / 200, "{name}: {white} of {all} are white");
        // Its title: ink in the first thirty units, letters and no frame.
        let ink = pixels(&drawn, 0..30 * SCALE, (0x1f, 0x29, 0x33));
        assert!((500..20_000).contains(&ink), "{name}: {ink}");
        let blue = pixels(&drawn, 62 * SCALE..drawn.height(), (0x00, 0x72, 0xb2));
        assert!(blue > 500, "{name}: {blue}");
    }
}

#[test]
fn pictures_of_several_runs_are_told_apart() {
    let Some(painter) = painter() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let runs = ["a", "b"].map(|name| dir.path().join(name));
    runs.iter().for_each(|dir| run(dir));
    let each: Vec<_> =
        write_each(&runs).expect("pages").into_iter().flat_map(|page| page.plots).collect();
    let all = write_all(&runs, &dir.path().join("set.html")).expect("a page").plots;
    assert!(all.iter().any(|(name, _)| name == "runs"), "what they say together");
    let missing = each.iter().find(|plot| !all.contains(plot));
    assert_eq!(missing, None, "and what each says, under the same name");
    let to = dir.path().join("deep/plots");
    let files = write_pictures(&painter, &all, &to).expect("pictures");
    assert_eq!(fs::read_dir(&to).expect("a folder").count(), files.len());
    assert!(files.contains(&to.join("run-2-rate.png")), "{files:?}");
}
