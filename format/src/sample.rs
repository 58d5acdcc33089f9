//! Rows of the tables of a run: `samples.csv` (one per time, role, server and core), `events.csv`,
//! `recovery.csv` (one per millisecond around an event) and `connections.csv` (one per connection
//! that an event did not leave as it was).
//!
//! Samples are what a core published at housekeeping, in differences since its previous row. They
//! draw curves and feed the live view; totals and verdicts are in the summary, counted after all
//! cores have come to rest, and never summed from samples. An empty cell is a value that could not
//! be had, never a zero.

use schemars::JsonSchema;
use serde::de::{self, DeserializeOwned, Visitor, value};
use serde::{Deserialize, Deserializer, Serialize, forward_to_deserialize_any};
use std::fmt;
use std::io::{Read, Write};
use std::net::SocketAddr;

/// Which side of the test a core belongs to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Traffic generator.
    Gen,
    /// System under test.
    Sut,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Gen => "gen",
            Role::Sut => "sut",
        })
    }
}

/// One core during one interval that ended at `t_s`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// End of the interval, in seconds since the first phase began.
    pub t_s: f64,
    /// Name of the phase.
    pub phase: String,
    /// Side of the test.
    pub role: Role,
    /// Server, from 0 within its role.
    pub server: u16,
    /// Core, from 0 within its server.
    pub core: u16,
    /// Packets per second planned (generator) or received (SUT).
    pub offered_pps: f64,
    /// Packets per second returned and verified (generator) or sent on (SUT).
    pub forwarded_pps: f64,
    /// Packets known lost by the end of the interval, since the run began (generator).
    pub lost: Option<u64>,
    /// Cycles of steps that moved at least one packet ÷ all cycles, 0 to 1.
    pub busy_share: Option<f64>,
    /// Connections held at the end of the interval.
    pub connections: Option<u64>,
    /// Median latency in microseconds, from the planned instant (generator).
    pub latency_p50_us: Option<f64>,
    /// 99th percentile of latency in microseconds (generator).
    pub latency_p99_us: Option<f64>,
    /// Packets the core itself dropped during the interval, all reasons.
    pub drops: Option<u64>,
    /// Changes of connections that are not known to be in a copy yet (SUT that replicates).
    #[serde(default)]
    pub backlog: Option<u64>,
}

/// Something that happened at an instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Seconds since the first phase began.
    pub t_s: f64,
    /// Class of the event.
    pub kind: EventKind,
    /// What happened, in words, such as `kill sut.server[1]` or `sut.server[1].core[0] is silent`.
    pub what: String,
}

/// Class of an event.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A phase begins.
    Phase,
    /// Something was done to the SUT.
    Injected,
    /// The router finds a core silent (BFD down).
    Detected,
    /// The router has changed its routes.
    Steered,
    /// A slave serves shards in their master's place.
    Takeover,
    /// What had been gone serves again, or the rate is back.
    Recovered,
    /// A server asks for its prefixes.
    Announced,
    /// A server gives its prefixes back.
    Withdrawn,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EventKind::Phase => "phase",
            EventKind::Injected => "injected",
            EventKind::Detected => "detected",
            EventKind::Steered => "steered",
            EventKind::Takeover => "takeover",
            EventKind::Recovered => "recovered",
            EventKind::Announced => "announced",
            EventKind::Withdrawn => "withdrawn",
        })
    }
}

/// A row of `recovery.csv`: one millisecond near an event, all generator cores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Begin of the millisecond, in seconds since the first phase began.
    pub t_s: f64,
    /// Probes whose planned instant lies in it.
    pub planned: u64,
    /// Those of them that came back, verified, whenever that was: latency moves nothing from one
    /// window to another.
    pub arrived: u64,
}

/// What became of a connection after an event.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As before. Such connections have no row in `connections.csv`.
    Kept,
    /// Alive with another translation.
    Remapped,
    /// Refused by the SUT.
    Reset,
    /// Dead.
    Lost,
    /// Dead for a while, then alive with the same translation.
    Recovered,
}

/// Transport protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// A row of `connections.csv`: a connection whose verdict is not `kept`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionRow {
    /// First probe of it that was missing, or came back otherwise than before: its planned instant,
    /// in seconds since the first phase began.
    pub t_s: f64,
    /// Shard of the SUT, counted over all servers and cores.
    pub shard: u32,
    /// Subscriber's address and port.
    pub subscriber: SocketAddr,
    /// Address and port that the SUT gave it at set-up; none where no packet of it came out.
    pub external: Option<SocketAddr>,
    /// Address and port on the Internet that it talks to.
    pub server: SocketAddr,
    /// Protocol.
    pub protocol: Protocol,
    /// What became of it.
    pub verdict: Verdict,
    /// Milliseconds without service; none where it never came back.
    pub outage_ms: Option<f64>,
}

/// Writes rows as CSV, header first, as they come.
pub struct Rows<W: Write>(csv::Writer<W>);

impl<W: Write> fmt::Debug for Rows<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

impl<W: Write> Rows<W> {
    /// A table of rows written to `to`, which is buffered here.
    pub fn new(to: W) -> Rows<W> {
        Rows(csv::Writer::from_writer(to))
    }

    /// Appends one row; the first also writes the header.
    ///
    /// # Errors
    /// The writer's.
    pub fn push<T: Serialize>(&mut self, row: &T) -> Result<(), csv::Error> {
        self.0.serialize(row)
    }

    /// Hands everything written so far to the underlying writer.
    ///
    /// # Errors
    /// The writer's.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Reads every row of a CSV file with a header.
///
/// # Errors
/// Text that is not CSV or not of this row type, with its line.
pub fn read_rows<T: DeserializeOwned>(from: impl Read) -> Result<Vec<T>, csv::Error> {
    let mut reader = csv::Reader::from_reader(from);
    let header = reader.headers()?.clone();
    // Cells of a table that has the columns of this version in their order are taken by place: to
    // find them by name takes as long as to read them.
    let names = (!header.iter().eq(Columns::of::<T>().iter().copied())).then_some(&header);
    let (mut rows, mut record) = (Vec::new(), csv::StringRecord::new());
    while reader.read_record(&mut record)? {
        rows.push(record.deserialize(names)?);
    }
    Ok(rows)
}

/// Asks a row type for the names of its columns, and has nothing for it to read.
struct Columns(&'static [&'static str]);

impl Columns {
    /// In the order of the fields; none for what is no struct.
    fn of<T: DeserializeOwned>() -> &'static [&'static str] {
        let mut columns = Columns(&[]);
        // An error by design: all there is to learn is what was asked for.
        let _ = T::deserialize(&mut columns);
        columns.0
    }
}

impl<'de> Deserializer<'de> for &mut Columns {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
        Err(de::Error::custom("nothing to read"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, value::Error> {
        self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(core: u16, lost: Option<u64>) -> Sample {
        Sample {
            t_s: 1.5,
            phase: "steady, quoted".to_owned(),
            role: Role::Sut,
            server: 0,
            core,
            offered_pps: 1e6,
            forwarded_pps: 999_999.5,
            lost,
            busy_share: Some(0.25),
            connections: Some(1 << 40),
            latency_p50_us: None,
            latency_p99_us: None,
            drops: Some(0),
            backlog: None,
        }
    }

    #[test]
    fn rows_survive_the_file_and_gaps_stay_gaps() {
        let rows = [sample(0, None), sample(1, Some(0))];
        let mut file = Vec::new();
        let mut table = Rows::new(&mut file);
        rows.iter().for_each(|row| table.push(row).expect("a vector takes everything"));
        table.flush().expect("a vector takes everything");
        drop(table);
        let text = String::from_utf8(file.clone()).expect("text");
        assert!(text.starts_with("t_s,phase,role,server,core,offered_pps,forwarded_pps,lost,"));
        assert_eq!(read_rows::<Sample>(&file[..]).expect("our own file"), rows);
    }

    #[test]
    fn a_broken_row_is_an_error_with_its_line() {
        for row in ["later,phase,steady", "1.0,exploded,steady"] {
            let text = format!("t_s,kind,what\n1.0,phase,fill\n{row}\n");
            let error = read_rows::<Event>(text.as_bytes()).expect_err(row);
            assert!(error.to_string().contains("line: 3"), "{error}");
        }
    }

    #[test]
    fn columns_in_another_order_or_missing_are_found_by_name() {
        let text = "what,kind,t_s\nfill,phase,1.5\n";
        let rows: Vec<Event> = read_rows(text.as_bytes()).expect("rows");
        let event = Event { t_s: 1.5, kind: EventKind::Phase, what: "fill".to_owned() };
        assert_eq!(rows, [event]);
        // As written before there was a backlog, and with a column of a later version.
        let mut file = Vec::new();
        let mut table = Rows::new(&mut file);
        table.push(&sample(0, None)).and_then(|()| Ok(table.flush()?)).expect("written");
        drop(table);
        let text = String::from_utf8(file).expect("text");
        let cut: Vec<&str> = text.lines().map(|line| line.rsplit_once(',').expect("").0).collect();
        let before = cut.join("\n");
        assert_eq!(read_rows::<Sample>(before.as_bytes()).expect("rows"), [sample(0, None)]);
        let later = format!("{},later\n{},7\n", cut[0], cut[1]);
        assert_eq!(read_rows::<Sample>(later.as_bytes()).expect("rows"), [sample(0, None)]);
        assert_eq!(Columns::of::<Sample>().last(), Some(&"backlog"));
    }

    #[test]
    fn connections_are_named_by_their_addresses() {
        let text = "t_s,shard,subscriber,external,server,protocol,verdict,outage_ms\n\
                    4.001,3,100.64.0.9:1024,198.18.0.1:2048,198.19.0.1:80,udp,recovered,11.8\n\
                    4.002,3,100.64.0.9:1025,198.18.0.1:2049,198.19.0.1:443,tcp,lost,\n";
        let rows: Vec<ConnectionRow> = read_rows(text.as_bytes()).expect("rows");
        assert_eq!((rows[0].verdict, rows[0].outage_ms), (Verdict::Recovered, Some(11.8)));
        assert_eq!((rows[1].protocol, rows[1].outage_ms), (Protocol::Tcp, None));
        let mut file = Vec::new();
        let mut table = Rows::new(&mut file);
        rows.iter().for_each(|row| table.push(row).expect("a vector takes everything"));
        table.flush().expect("a vector takes everything");
        drop(table);
        assert_eq!(String::from_utf8(file).expect("text"), text);
    }
}
