//! A client of a Redis or Valkey server: commands are queued, sent together and answered in order.
//!
//! As much of its protocol (RESP 2) as the NAT in [`super::remote`] takes: commands as arrays of
//! bulk strings; simple strings, errors, integers and bulk strings as answers. Anything else from
//! the server is an error, and so is silence for longer than [`PATIENCE`].

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// A connection to a store.
#[derive(Debug)]
pub(super) struct Store {
    stream: UnixStream,
    out: Vec<u8>,
    input: Vec<u8>,
    /// Where the next answer begins in `input`.
    at: usize,
}

/// What the server says to a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// A value.
    Value(&'a [u8]),
    /// There is no such key, or one that there should not be.
    Nothing,
    /// It was done.
    Done,
    /// A number.
    Number(i64),
}

impl Store {
    /// Connects to the server that listens on `socket` and hears whether it answers.
    pub(super) fn open(socket: &Path) -> Result<Store> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut store = Store { stream, out: Vec::new(), input: Vec::new(), at: 0 };
        store.command(&[b"PING"]);
        store.send()?;
        match store.answer()? {
            Answer::Done => Ok(store),
            other => Err(unexpected(format!("PING is answered with {other:?}"))),
        }
    }

    fn command(&mut self, words: &[&[u8]]) {
        let number = |out: &mut Vec<u8>, sign: u8, number: usize| {
            out.push(sign);
            out.extend_from_slice(number.to_string().as_bytes());
            out.extend_from_slice(b"\r\n");
        };
        number(&mut self.out, b'*', words.len());
        for word in words {
            number(&mut self.out, b'$', word.len());
            self.out.extend_from_slice(word);
            self.out.extend_from_slice(b"\r\n");
        }
    }

    /// Asks for the value of `key`: [`Answer::Value`] or [`Answer::Nothing`].
    pub(super) fn get(&mut self, key: &[u8]) {
        self.command(&[b"GET", key]);
    }

    /// Sets `key` for `ms`: [`Answer::Done`].
    pub(super) fn put(&mut self, key: &[u8], value: &[u8], ms: u64) {
        self.command(&[b"SET", key, value, b"PX", ms.to_string().as_bytes()]);
    }

    /// Sets `key` unless it is there: [`Answer::Done`] or [`Answer::Nothing`].
    pub(super) fn claim(&mut self, key: &[u8], value: &[u8], ms: u64) {
        self.command(&[b"SET", key, value, b"NX", b"PX", ms.to_string().as_bytes()]);
    }

    /// Counts `key` up by `by`: [`Answer::Number`], the sum.
    pub(super) fn count(&mut self, key: &[u8], by: usize) {
        self.command(&[b"INCRBY", key, by.to_string().as_bytes()]);
    }

    /// Asks how many keys there are: [`Answer::Number`].
    pub(super) fn size(&mut self) {
        self.command(&[b"DBSIZE"]);
    }

    /// Asks what memory it uses: [`Answer::Value`] with a line of `used_memory:` and bytes.
    pub(super) fn memory(&mut self) {
        self.command(&[b"INFO", b"memory"]);
    }

    /// Sends what was queued. As many answers must be taken before the next commands are sent.
    pub(super) fn send(&mut self) -> Result<()> {
        debug_assert_eq!(self.at, self.input.len(), "every answer is taken");
        self.input.clear();
        self.at = 0;
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// The next answer, waited for.
    pub(super) fn answer(&mut self) -> Result<Answer<'_>> {
        let line = self.line()?;
        let (sign, rest) = (self.input[line.0], &self.input[line.0 + 1..line.1]);
        let number = || {
            let text = std::str::from_utf8(rest).ok();
            text.and_then(|text| text.parse::<i64>().ok()).ok_or_else(|| {
                unexpected(format!("a number is {:?}", String::from_utf8_lossy(rest)))
            })
        };
        match sign {
            b'+' => Ok(Answer::Done),
            b':' => number().map(Answer::Number),
            b'$' => match usize::try_from(number()?) {
                Err(_) => Ok(Answer::Nothing),
                Ok(length) => {
                    let start = self.at;
                    while self.input.len() < start + length + 2 {
                        self.fill()?;
                    }
                    self.at = start + length + 2;
                    Ok(Answer::Value(&self.input[start..start + length]))
                }
            },
            b'-' => Err(unexpected(String::from_utf8_lossy(rest).into_owned())),
            _ => Err(unexpected(format!("an answer begins with byte {sign}"))),
        }
    }

    /// Where the next line begins and ends, without its end.
    fn line(&mut self) -> Result<(usize, usize)> {
        let start = self.at;
        let mut seen = start;
        loop {
            if let Some(at) = self.input[seen..].iter().position(|&byte| byte == b'\n') {
                let end = seen + at;
                if end < start + 2 {
                    return Err(unexpected("an empty line".to_owned()));
                }
                self.at = end + 1;
                return Ok((start, end - 1));
            }
            seen = self.input.len();
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        let had = self.input.len();
        self.input.resize(had + CHUNK, 0);
        let got = self.stream.read(&mut self.input[had..]);
        self.input.truncate(had + *got.as_ref().unwrap_or(&0));
        match got? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn unexpected(what: String) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// A store whose server says `answers`, in pieces of `piece` bytes, to whatever it hears first.
    fn store(answers: &'static [u8], piece: usize) -> Store {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket");
        thread::spawn(move || {
            let mut heard = [0; 1024];
            let _ = theirs.read(&mut heard);
            for piece in answers.chunks(piece) {
                if theirs.write_all(piece).is_err() {
                    return;
                }
                thread::yield_now();
            }
        });
        Store { stream: ours, out: b"*0\r\n".to_vec(), input: Vec::new(), at: 0 }
    }

    #[test]
    fn answers_are_read_wherever_they_are_cut() {
        for piece in [1, 2, 3, 7, 100] {
            let mut store =
                store(b"+OK\r\n$6\r\na\r\nb\n!\r\n$-1\r\n:-42\r\n$0\r\n\r\n-ERR no\r\n", piece);
            store.send().expect("sent");
            assert_eq!(store.answer().expect("the first"), Answer::Done);
            assert_eq!(store.answer().expect("a value"), Answer::Value(b"a\r\nb\n!"));
            assert_eq!(store.answer().expect("none"), Answer::Nothing);
            assert_eq!(store.answer().expect("a number"), Answer::Number(-42));
            assert_eq!(store.answer().expect("an empty one"), Answer::Value(b""));
            let error = store.answer().expect_err("an error").to_string();
            assert_eq!(error, "ERR no");
            assert_eq!(store.answer().expect_err("the end").kind(), ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        for answers in [&b"\r\n"[..], b"?\r\n", b":x\r\n", b"$x\r\n", b"\n"] {
            let mut store = store(answers, 100);
            store.send().expect("sent");
            assert!(store.answer().is_err(), "{answers:?}");
        }
    }

    #[test]
    fn a_command_is_an_array_of_words() {
        let folder = std::env::temp_dir().join(format!("krononat-store-{}", std::process::id()));
        let _ = std::fs::remove_file(&folder);
        let listener = UnixListener::bind(&folder).expect("a socket");
        let server = thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a client");
            let mut heard = vec![0; 1024];
            let length = client.read(&mut heard).expect("a command");
            assert_eq!(&heard[..length], b"*1\r\n$4\r\nPING\r\n");
            client.write_all(b"+PONG\r\n").expect("answered");
            let length = client.read(&mut heard).expect("commands");
            String::from_utf8_lossy(&heard[..length]).into_owned()
        });
        let mut store = Store::open(&folder).expect("it answers");
        store.get(b"k\0");
        store.claim(b"k", b"v", 1500);
        store.send().expect("sent");
        let heard = server.join().expect("no panic");
        let expected = "*2\r\n$3\r\nGET\r\n$2\r\nk\0\r\n\
                        *6\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nNX\r\n$2\r\nPX\r\n\
                        $4\r\n1500\r\n";
        assert_eq!(heard, expected);
        std::fs::remove_file(&folder).expect("removed");
    }
}
