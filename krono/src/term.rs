//! Whether a stream is a terminal that wants colour, and the few colours used.
//!
//! Colour never carries meaning alone: every coloured word can be read without it.

use std::ffi::OsString;
use std::io::IsTerminal;

/// Whether to colour what goes to `stream`: a terminal, and the user did not say no
/// (<https://no-color.org>).
pub fn colour(stream: &impl IsTerminal) -> bool {
    renews(stream) && set("NO_COLOR").is_none()
}

/// Whether lines on `stream` can renew themselves: a terminal, and one that `TERM` says is more than
/// a typewriter. Where it says nothing, nothing is known of it.
pub fn renews(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && set("TERM").is_some_and(|term| term != "dumb")
}

fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A colour of the terminal's own palette.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Something is wrong.
    Red,
    /// As it should be.
    Green,
    /// Something to know.
    Yellow,
}

impl Colour {
    /// `text` in this colour if `on`.
    pub fn paint(self, text: &str, on: bool) -> String {
        let code = match self {
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
        };
        if on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_only_put_where_it_is_wanted() {
        assert_eq!(Colour::Red.paint("fail", false), "fail");
        assert_eq!(Colour::Red.paint("fail", true), "\u{1b}[31mfail\u{1b}[0m");
        assert!(!colour(&std::fs::File::open("/dev/null").expect("there")));
    }
}
