//! Which network addresses requests may reach, whatever name led there: a name can be made to point anywhere.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Refuses addresses that are never a monitoring system. Private networks are allowed: that is where they live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Allow the machine itself: for tests, and for a proxy in the same pod.
    pub loopback: bool,
    /// Further addresses that are refused, above all the API server's.
    pub refused: BTreeSet<IpAddr>,
}

/// The metadata service of AWS over IPv6; the one over IPv4 is link-local.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);
/// The metadata service of Alibaba Cloud, in the shared address space.
const METADATA_SHARED: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);

impl AddressPolicy {
    /// Whether a connection may be made.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, address: IpAddr) -> Result<(), String> {
        let address = address.to_canonical();
        let why = if self.refused.contains(&address) {
            "is refused by the administrator"
        } else if address.is_unspecified() {
            "is no address of a server"
        } else if address.is_multicast() {
            "is a multicast address"
        } else if address.is_loopback() && !self.loopback {
            "is the controller's own machine"
        } else if is_special(address) {
            "is link-local or a cloud's metadata service"
        } else {
            return Ok(());
        };
        Err(format!("{address} {why}"))
    }
}

fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_link_local()
                || address.is_broadcast()
                || address == METADATA_SHARED
                // "This network" (RFC 1122): Linux connects to itself.
                || address.octets().first() == Some(&0)
        }
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address == METADATA_V6
                || embedded(address).is_some_and(is_special_v4)
        }
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_unspecified() || is_special(IpAddr::V4(address))
}

/// The IPv4 address inside of NAT64 (RFC 6052) and 6to4 (RFC 3056) addresses.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}
