//! Whether a stream is a terminal that wants colour, and the few colours used.
//!
//! Colour never carries meaning alone: every coloured word can be read without it.

use std::io::IsTerminal;

/// Whether to colour what goes to `stream`: a terminal, and the user did not say no
/// (<https://no-color.org>).
pub fn colour(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    stream.is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|t| t != "dumb")
}

/// Whether lines on `stream` can renew themselves.
pub fn renews(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
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
