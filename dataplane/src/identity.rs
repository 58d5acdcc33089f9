//! Every core is an independent router on the network, known by its own addresses.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// A locally administered address made of a role, a server and a core.
    pub const fn of(role: u8, server: u16, core: u16) -> Mac {
        let ([s1, s0], [c1, c0]) = (server.to_be_bytes(), core.to_be_bytes());
        Mac([0x02, role, s1, s0, c1, c0])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no Ethernet address.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no Ethernet address: expected six hexadecimal bytes such as 02:01:00:00:00:0a")]
pub struct NotAMac(String);

impl FromStr for Mac {
    type Err = NotAMac;
    fn from_str(text: &str) -> Result<Mac, NotAMac> {
        let bytes: Option<Vec<u8>> = text
            .split(':')
            .map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2))
            .collect();
        bytes
            .and_then(|bytes| <[u8; 6]>::try_from(bytes).ok())
            .map(Mac)
            .ok_or_else(|| NotAMac(text.to_owned()))
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Mac, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What one core is on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Address of the core's port.
    pub mac: Mac,
    /// VLAN of the access port, where the network is divided by VLANs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// The core's own address: answers ARP and ICMP echo.
    pub ip: Ipv4Addr,
    /// Autonomous system number (RFC 6793), where the core speaks BGP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Ethernet address of the router this core hands its packets to.
    pub gateway: Mac,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text_form() {
        let mac = Mac::of(3, 258, 7);
        assert_eq!(mac.to_string(), "02:03:01:02:00:07");
        assert_eq!(mac.to_string().parse::<Mac>().ok(), Some(mac));
        for bad in ["", "02:03:01:02:00", "02:03:01:02:00:007", "02-03-01-02-00-07"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
